import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LoadError } from '../src/errors.ts';
import { Lifecycle } from '../src/lifecycle.ts';
import { inspect } from '../src/loader.ts';
import type { FunctionContext, FunctionRuntime } from '../src/types.ts';

const f = (): number => 1;
const failed = (e: unknown): boolean => e instanceof LoadError && e.code === 'setup_failed';

async function set(setup: (runtime: FunctionRuntime) => unknown): Promise<Lifecycle> {
  const life = new Lifecycle();
  await life.setup({ setup, a: f });
  return life;
}

test('setup may be async, and is called once, before handlers are looked for', async () => {
  let calls = 0;
  const life = await set(async (runtime) => { calls++; await null; runtime.onWebSocket('/a', f); });
  assert.equal(calls, 1);
  assert.deepEqual([...inspect({ b: f }, {}, life).sockets.keys()], ['/a']);
});

test('a module needs no handler beside a WebSocket', async () => {
  const life = await set((runtime) => { runtime.onWebSocket('/', f); });
  assert.equal(inspect({}, {}, life).handlers.size, 0);
  assert.throws(() => inspect({}, {}, new Lifecycle()), (e) => e instanceof LoadError && e.code === 'no_handlers');
});

test('startup hooks run one after the other, in their order, with a context that is of no request', async () => {
  const seen: unknown[] = [];
  const life = await set((runtime) => {
    runtime.onStartup(async (context: FunctionContext) => { await null; seen.push(1, context.requestId, context.identity, typeof context.config.functionName); });
    runtime.onStartup(() => { seen.push(2); });
  });
  await life.start();
  assert.deepEqual(seen, [1, '', null, 'string', 2]);
});

test('shutdown hooks run in the reverse order, and one that fails keeps none from running', async () => {
  const seen: number[] = [];
  const logged: string[] = [];
  const life = await set((runtime) => {
    runtime.onShutdown(() => { seen.push(1); });
    runtime.onShutdown(async () => { seen.push(2); await null; throw new Error('no'); });
    runtime.onShutdown(() => { seen.push(3); throw new Error('nor this'); });
  });
  await life.shutdown((text) => { logged.push(text); });
  await life.shutdown((text) => { logged.push(text); });
  assert.deepEqual(seen, [3, 2, 1]);
  assert.equal(logged.length, 2);
});

for (const [name, setup] of Object.entries({
  'setup that throws': () => { throw new Error('no'); },
  'setup that rejects': async () => { await null; throw new Error('no'); },
  'a path without a slash': (r: FunctionRuntime) => { r.onWebSocket('a', f); }, 'a path that ends with one': (r: FunctionRuntime) => { r.onWebSocket('/a/', f); },
  'an empty segment': (r: FunctionRuntime) => { r.onWebSocket('/a//b', f); }, 'a dot segment': (r: FunctionRuntime) => { r.onWebSocket('/a/..', f); }, 'a hidden segment': (r: FunctionRuntime) => { r.onWebSocket('/.a', f); },
  'a parameter': (r: FunctionRuntime) => { r.onWebSocket('/{a}', f); }, 'an encoded path': (r: FunctionRuntime) => { r.onWebSocket('/%61', f); }, 'a query': (r: FunctionRuntime) => { r.onWebSocket('/a?b', f); },
  'an empty path': (r: FunctionRuntime) => { r.onWebSocket('', f); }, 'a path that is none': (r: FunctionRuntime) => { r.onWebSocket(1 as unknown as string, f); }, 'a long path': (r: FunctionRuntime) => { r.onWebSocket('/' + 'a'.repeat(256), f); },
  'a path twice': (r: FunctionRuntime) => { r.onWebSocket('/a', f); r.onWebSocket('/a', f); }, 'no handler': (r: FunctionRuntime) => { r.onWebSocket('/a', undefined as unknown as typeof f); },
  'a hook that is none': (r: FunctionRuntime) => { r.onStartup('x' as unknown as typeof f); }, 'a subprotocol that is none': (r: FunctionRuntime) => { r.onWebSocket('/a', f, { protocols: ['a b'] }); },
  'the hundred and first': (r: FunctionRuntime) => { for (let i = 0; i < 101; i++) r.onWebSocket(`/${i}`, f); },
})) {
  test(`setup fails with ${name}`, () => assert.rejects(set(setup as (r: FunctionRuntime) => unknown), failed));
}

test('a startup hook that throws fails the start, and says what it was', async () => {
  const life = await set((runtime) => { runtime.onStartup(() => { throw new Error('no database'); }); });
  await assert.rejects(life.start(), (e) => failed(e) && (e as Error).message === 'a startup hook threw: no database' && String((e as Error).stack).includes('lifecycle.test'));
});

test('nothing is registered after setup has returned', async () => {
  let kept!: FunctionRuntime;
  await set((runtime) => { kept = runtime; });
  for (const late of [() => { kept.onStartup(f); }, () => { kept.onShutdown(f); }, () => { kept.onWebSocket('/a', f); }]) assert.throws(late, /after setup had returned/);
});

test('setup is an export of its own, and a function', async () => {
  for (const ns of [{ default: { setup: f } }, { setup: 1 }]) await assert.rejects(new Lifecycle().setup(ns), failed);
  await new Lifecycle().setup({ default: Object.create({ setup: f }) as object });
  await new Lifecycle().setup(Object.create({ setup() { throw new Error('inherited'); } }));
});

test('setup(context): what it is given is a context too, and a function that it returns is the handler conversationWebhook', async () => {
  let name: unknown;
  const hook = (): number => 2;
  const life = await set((context) => { name = context.config.functionName; return hook; });
  assert.equal(typeof name, 'string');
  assert.equal(inspect({}, {}, life).handlers.get('conversationWebhook'), hook);
  assert.equal(inspect({ conversationWebhook: f }, {}, life).handlers.get('conversationWebhook'), f);
  assert.equal((await set(() => 5)).returned, undefined);
});
