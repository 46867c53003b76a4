// Writes types/postern.d.ts: the public types of every module, made from the sources, as ambient modules for editors. `npm run types` does it;
// with --check it says instead whether the file is up to date. Each source becomes a module of its own, so that names mean what they mean there.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import ts from 'typescript';

const OUT = 'types/postern.d.ts';
const HEAD = "// Types of Postern's runtime, for the editor. Written by postern functions init; safe to write again.\n";

/** Modules, and the names under which functions written for the source import the same. */
const modules = [
  { names: ['@postern/functions', '@sinch/functions-runtime'], entry: 'index' },
  { names: ['@postern/functions/voice', '@postern/functions/voice/v2', '@sinch/functions-runtime/voice', '@sinch/functions-runtime/voice/v2'], entry: 'voice/index' },
  { names: ['@postern/functions/testing'], entry: 'testing' },
].filter(({ entry }) => existsSync(`src/${entry}.ts`));

/** The declarations of all sources, by path below src, without the extension. */
function declarations() {
  const { config } = ts.readConfigFile('tsconfig.json', ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, '.');
  const program = ts.createProgram(modules.map(({ entry }) => `src/${entry}.ts`), { ...options, noEmit: false, declaration: true, emitDeclarationOnly: true });
  const found = ts.getPreEmitDiagnostics(program);
  if (found.length > 0) throw new Error(ts.formatDiagnostics(found, { getCanonicalFileName: (f) => f, getCurrentDirectory: () => '.', getNewLine: () => '\n' }));
  const files = new Map();
  program.emit(undefined, (path, text) => { files.set(relative('src', path).replace(/\.d\.ts$/, ''), ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true)); }, undefined, true);
  return files;
}

/** What a source is called by the others. It is not for functions to import. */
const inner = (path) => `postern:types/${path}`;

/** The source that a specifier leads to; undefined for a module of Node. */
const target = (path, specifier) => (specifier.startsWith('.') ? relative('src', resolve('src', dirname(path), specifier)).replace(/\.(d\.)?ts$/, '') : undefined);

/** One source as an ambient module, and the sources that it needs. */
function asModule(path, file) {
  const needs = [];
  const edits = [];
  const visit = (node) => {
    const literal = node.moduleSpecifier ?? (ts.isImportTypeNode(node) ? node.argument.literal : undefined);
    if (literal !== undefined) {
      const to = target(path, literal.text);
      if (to !== undefined) {
        needs.push(to);
        edits.push([literal.getStart(), literal.end, `'${inner(to)}'`]);
      }
    }
    for (const m of node.modifiers ?? []) if (m.kind === ts.SyntaxKind.DeclareKeyword) edits.push([m.getStart(), m.end + 1, '']); // all is ambient here
    ts.forEachChild(node, visit);
  };
  visit(file);
  let text = file.getFullText();
  for (const [start, end, by] of edits.sort((a, b) => b[0] - a[0])) text = text.slice(0, start) + by + text.slice(end);
  text = text.replaceAll('    ', '  ').trim().replace(/^(?=.)/gm, '  ');
  return { needs, text: `declare module '${inner(path)}' {\n${text}\n}\n` };
}

export function ambient() {
  const files = declarations();
  const made = new Map();
  const add = (path) => {
    if (made.has(path)) return;
    const { needs, text } = asModule(path, files.get(path));
    made.set(path, text);
    needs.forEach(add);
  };
  for (const { entry } of modules) add(entry);
  const outer = modules.flatMap(({ names, entry }) => names.map((name) => `declare module '${name}' {\n  export * from '${inner(entry)}';\n}\n`));
  return [HEAD, ...outer, ...[...made.keys()].sort().map((path) => made.get(path))].join('\n');
}

if (process.argv[1] === join(import.meta.dirname, 'types.mjs')) {
  const text = ambient();
  if (process.argv[2] !== '--check') writeFileSync(OUT, text);
  else if (!existsSync(OUT) || readFileSync(OUT, 'utf8') !== text) {
    console.error(`${OUT} is out of date: run npm run types in runtime/node`);
    process.exit(1);
  }
}
