// Builds what the npm package holds: dist, a module of JavaScript for each that can be imported, and declarations beside them.
import { buildSync } from 'esbuild';
import { readFileSync, rmSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import ts from 'typescript';

/** In declarations files are named as they are at run time, for compilers that look for nothing else. */
const specifier = /(from '|import\(')(\.[^']*)\.ts'/g;

const { exports } = JSON.parse(readFileSync('package.json', 'utf8'));
const built = Object.values(exports).filter((e) => e.default !== undefined).map((e) => e.default.replace(/^\.\/dist\/(.*)\.js$/, 'src/$1.ts'));
const entryPoints = [...new Set(built)];

rmSync('dist', { recursive: true, force: true });
buildSync({ entryPoints, outbase: 'src', outdir: 'dist', chunkNames: 'shared-[hash]', bundle: true, splitting: true, platform: 'node', format: 'esm', target: 'node20', logLevel: 'warning' });

const { config } = ts.readConfigFile('tsconfig.json', ts.sys.readFile);
const { options } = ts.parseJsonConfigFileContent(config, ts.sys, '.');
const program = ts.createProgram(entryPoints, { ...options, noEmit: false, declaration: true, emitDeclarationOnly: true, outDir: 'dist', rootDir: 'src' });
const files = new Map();
const { diagnostics } = program.emit(undefined, (path, text) => { files.set(relative('.', path), text.replaceAll(specifier, "$1$2.js'")); }, undefined, true);
if (diagnostics.length > 0) throw new Error(ts.formatDiagnostics(diagnostics, { getCanonicalFileName: (f) => f, getCurrentDirectory: () => '.', getNewLine: () => '\n' }));

/** Writes a declaration and what it leads to: the rest is nobody's to see. */
const write = (path) => {
  const text = files.get(path);
  if (text === undefined) return;
  files.delete(path);
  ts.sys.writeFile(path, text);
  for (const [, , to] of text.matchAll(/(from '|import\(')(\.[^']*)\.js'/g)) write(join(dirname(path), `${to}.d.ts`));
};
for (const entry of entryPoints) write(entry.replace(/^src\/(.*)\.ts$/, 'dist/$1.d.ts'));
