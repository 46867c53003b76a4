// What is published, as users get it: packed, installed into an empty project, type-checked and run; and what an editor gets without it.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test, type TestContext } from 'node:test';
import { transformSync } from 'esbuild';

/** Runs a program as if it stood alone: a test within a test would report to this one. */
const run = (command: string, args: string[], cwd = '.'): string =>
  execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, NODE_TEST_CONTEXT: undefined } });

function project(t: TestContext, files: Record<string, string> = {}): string {
  const dir = mkdtempSync(join(tmpdir(), 'postern-package-'));
  t.after(() => { rmSync(dir, { recursive: true }); });
  for (const [name, text] of Object.entries({ 'package.json': '{"name":"mine","private":true,"type":"module"}', ...files })) writeFileSync(join(dir, name), text);
  return dir;
}

/** What the compiler says of a project; nothing when all is well. */
function check(dir: string, options: Record<string, unknown>, include: string[]): string {
  const compilerOptions = { target: 'ES2022', lib: ['ES2023', 'DOM'], strict: true, skipLibCheck: true, noUncheckedIndexedAccess: true, exactOptionalPropertyTypes: true, noPropertyAccessFromIndexSignature: true, types: [], ...options };
  writeFileSync(join(dir, 'tsconfig.json'), JSON.stringify({ compilerOptions, include }));
  return spawnSync(process.execPath, [resolve('node_modules/typescript/bin/tsc'), '-p', dir], { encoding: 'utf8' }).stdout;
}

const nodeNext = { module: 'NodeNext', moduleResolution: 'NodeNext' };
const bundler = { module: 'ESNext', moduleResolution: 'Bundler' };

test('the package is packed, installed, type-checked and run without the platform', { timeout: 300_000 }, (t) => {
  const dir = project(t);
  run(process.execPath, ['build.mjs']);
  const [packed] = JSON.parse(run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', dir])) as [{ filename: string; files: { path: string }[] }];
  const paths = packed.files.map((f) => f.path);
  assert.deepEqual(paths.filter((p) => !p.startsWith('dist/')).sort(), ['README.md', 'package.json']);
  assert.ok(!paths.some((p) => /(protocol|connection|main|invocation)\./.test(p)), paths.join());
  run('npm', ['install', '--offline', '--ignore-scripts', '--no-audit', '--no-fund', `./${packed.filename}`], dir);
  assert.deepEqual(readdirSync(join(dir, 'node_modules')).filter((n) => !n.startsWith('.')), ['@postern']);
  cpSync('test/package', dir, { recursive: true });
  assert.equal(check(dir, { ...bundler, noEmit: true, skipLibCheck: false }, ['*.ts']), '');
  assert.equal(check(dir, { ...nodeNext, outDir: 'out' }, ['*.ts']), '');
  assert.deepEqual(JSON.parse(run(process.execPath, ['out/function.test.js'], dir)), {
    taken: [201, { item: 'tea', company: 'Ours', maybe: 'Ours', certain: 'Ours' }], refused: 400, ice: { name: 'hangup' }, hook: 200,
    sent: [{ app_id: 'app', recipient: { identified_by: { channel_identities: [{ channel: 'SMS', identity: '+15550001' }] } }, message: { text_message: { text: 'you said hi' } } }],
    sdk: 'context.conversation needs the package @sinch/sdk-core: npm install @sinch/sdk-core, and deploy again', voice: ['function', 'function'],
  });
  const [handler, tests] = [...readFileSync('README.md', 'utf8').matchAll(/```ts\n([^]*?)```/g)].map((m) => transformSync(m[1]!, { loader: 'ts' }).code);
  mkdirSync(join(dir, 'readme'));
  writeFileSync(join(dir, 'readme/function.js'), handler!);
  writeFileSync(join(dir, 'readme/function.test.js'), tests!);
  assert.match(run(process.execPath, ['--test-reporter=tap', 'readme/function.test.js'], dir), /^# pass 2$/m);
  assert.throws(() => run(process.execPath, ['-e', "import('@postern/functions/dist/index.js')"], dir), /ERR_PACKAGE_PATH_NOT_EXPORTED/);
});

test('an editor has the same types without the package', { timeout: 300_000 }, (t) => {
  const dir = project(t);
  cpSync('test/package', dir, { recursive: true });
  cpSync('types/postern.d.ts', join(dir, 'postern.d.ts'));
  assert.equal(check(dir, { ...nodeNext, noEmit: true, skipLibCheck: false }, ['*.ts']), '');
  assert.equal(check(dir, { ...bundler, noEmit: true }, ['*.ts']), '');
  writeFileSync(join(dir, 'source.ts'), "import { createConfig, textReply } from '@sinch/functions-runtime';\nimport { onCall } from '@sinch/functions-runtime/voice';\n// @ts-expect-error it takes a context\ncreateConfig();\nexport { onCall, textReply };\n");
  assert.equal(check(dir, { ...nodeNext, noEmit: true }, ['source.ts', 'postern.d.ts']), '');
});

test('the examples type-check as an editor sees them, with the SDK where they have it', { timeout: 300_000 }, (t) => {
  const all = readdirSync('../../examples', { recursive: true, encoding: 'utf8' }).filter((p) => p.endsWith('function.ts') && !/node_modules|customers|masking/.test(p)); // these two import sql.js, which has no types
  assert.ok(all.length > 6);
  const dir = project(t);
  mkdirSync(join(dir, 'examples'));
  for (const path of all) {
    const from = resolve('../../examples', path, '..');
    cpSync(from, join(dir, 'examples', path, '..'), { recursive: true, filter: (p) => !p.includes('node_modules') });
    if (readdirSync(from).includes('node_modules')) symlinkSync(join(from, 'node_modules'), join(dir, 'examples', path, '..', 'node_modules'));
  }
  cpSync('types/postern.d.ts', join(dir, 'postern.d.ts'));
  assert.equal(check(dir, { ...nodeNext, noEmit: true, allowImportingTsExtensions: true, exactOptionalPropertyTypes: false, noPropertyAccessFromIndexSignature: false, noUncheckedIndexedAccess: false, types: ['node'], typeRoots: [resolve('node_modules/@types')] }, ['examples', 'postern.d.ts']), '');
});
