// Writes types/postern.d.ts: the public types of every module, made from the sources, as ambient modules for editors. `npm run types` does it;
// with --check it says instead whether the file is up to date.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import ts from 'typescript';

const OUT = 'types/postern.d.ts';
const HEAD = "// Types of Postern's runtime, for the editor. Written by postern functions init; safe to write again.\n";

/** Modules, and the names under which functions written for the source import the same. */
const modules = [
  { name: '@postern/functions', entry: 'index', also: '@sinch/functions-runtime' },
  { name: '@postern/functions/voice', entry: 'voice/index', also: '@sinch/functions-runtime/voice' },
  { name: '@postern/functions/voice/v2', entry: 'voice/v2/index', also: '@sinch/functions-runtime/voice/v2' },
  { name: '@postern/functions/testing', entry: 'testing' },
].filter(({ entry }) => existsSync(`src/${entry}.ts`));

/** The declarations of all sources, by path. */
function declarations() {
  const { config } = ts.readConfigFile('tsconfig.json', ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, '.');
  const program = ts.createProgram(modules.map(({ entry }) => `src/${entry}.ts`), { ...options, noEmit: false, declaration: true, emitDeclarationOnly: true });
  const found = ts.getPreEmitDiagnostics(program);
  if (found.length > 0) throw new Error(ts.formatDiagnostics(found, { getCanonicalFileName: (f) => f, getCurrentDirectory: () => '.', getNewLine: () => '\n' }));
  const files = new Map();
  program.emit(undefined, (path, text) => {
    const at = resolve(path).replace(/\.d\.ts$/, '.ts');
    files.set(at, ts.createSourceFile(at, text, ts.ScriptTarget.Latest, true));
  }, undefined, true);
  const checker = program.getTypeChecker();
  const exported = ({ entry }) => new Set(checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(`src/${entry}.ts`))).map((s) => s.name));
  return { files, exported };
}

const relative = (statement) => {
  const to = statement.moduleSpecifier?.text;
  return to?.startsWith('.') ? resolve(dirname(statement.getSourceFile().fileName), to) : undefined;
};

/** The files that a module is made of: what its entry leads to, and no module before it has. */
function within(files, entry, owned) {
  const all = [];
  const visit = (path) => {
    if (all.includes(path) || owned.has(path)) return;
    all.push(path);
    for (const s of files.get(path).statements) if (relative(s) !== undefined) visit(relative(s));
  };
  visit(resolve(`src/${entry}.ts`));
  return all;
}

const isModifier = (m) => m.kind === ts.SyntaxKind.ExportKeyword || m.kind === ts.SyntaxKind.DeclareKeyword;

/** One module: the declarations of all its files, of which only the public ones are exported. */
function flatten({ name, entry }, { files, exported }, owned) {
  const isPublic = exported({ entry });
  const paths = within(files, entry, owned);
  const imports = new Map();
  const seen = new Map();
  const body = [];
  for (const path of paths) {
    owned.set(path, name);
    for (const s of files.get(path).statements) {
      if (ts.isExportDeclaration(s)) continue;
      if (ts.isImportDeclaration(s)) {
        const from = relative(s) === undefined ? s.moduleSpecifier.text : owned.get(relative(s));
        for (const one of s.importClause?.namedBindings?.elements ?? []) {
          if (one.propertyName !== undefined) throw new Error(`${basename(path)} imports ${one.getText()}: a public declaration must use the name itself`);
          if (from !== undefined && from !== name) imports.set(one.name.text, from);
        }
        continue;
      }
      const names = ts.isVariableStatement(s) ? s.declarationList.declarations.map((d) => d.name.text) : [s.name.text];
      for (const n of names) {
        if (seen.has(n) && seen.get(n) !== path) throw new Error(`${n} is declared in ${basename(seen.get(n))} and in ${basename(path)}`);
        seen.set(n, path);
      }
      const comment = s.getFullText().slice(0, s.getLeadingTriviaWidth()).trim();
      const modifiers = (s.modifiers ?? []).filter(isModifier);
      const bare = s.getText().slice((modifiers.at(-1)?.end ?? s.getStart()) - s.getStart()).trimStart();
      const shown = names.some((n) => isPublic.has(n));
      body.push({ names, shown, node: s, text: `${comment === '' ? '' : `${comment}\n`}${shown ? 'export ' : ''}${bare}` });
    }
  }
  const used = reach(body);
  const needed = [...imports].filter(([n]) => used.has(n)).sort();
  const lines = [...new Set(needed.map(([, from]) => from))].map((from) => `import type { ${needed.filter(([, f]) => f === from).map(([n]) => n).join(', ')} } from '${from}';`);
  const text = [...lines, ...body.filter(({ names }) => names.some((n) => used.has(n))).map((d) => d.text), 'export {};'].join('\n').replaceAll('    ', '  ');
  return `declare module '${name}' {\n${text.replace(/^(?=.)/gm, '  ')}\n}\n`;
}

/** The names that the public declarations need, their own included. */
function reach(body) {
  const used = new Set(body.filter((d) => d.shown).flatMap((d) => d.names));
  for (let before = -1; before !== used.size;) {
    before = used.size;
    const visit = (node) => {
      if (ts.isIdentifier(node)) used.add(node.text);
      ts.forEachChild(node, visit);
    };
    for (const d of body) if (d.names.some((n) => used.has(n))) visit(d.node);
  }
  return used;
}

export function ambient() {
  const sources = declarations();
  const owned = new Map();
  const texts = modules.map((m) => flatten(m, sources, owned));
  const also = modules.filter((m) => m.also).map((m) => `declare module '${m.also}' {\n  export * from '${m.name}';\n}\n`);
  return [HEAD, ...texts, ...also].join('\n');
}

if (process.argv[1] === join(import.meta.dirname, 'types.mjs')) {
  const text = ambient();
  if (process.argv[2] !== '--check') writeFileSync(OUT, text);
  else if (!existsSync(OUT) || readFileSync(OUT, 'utf8') !== text) {
    console.error(`${OUT} is out of date: run npm run types in runtime/node`);
    process.exit(1);
  }
}
