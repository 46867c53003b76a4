// Where a worker begins: the bundle calls run with a function that loads the user's module.
import { capture } from './capture.ts';
import { Connection } from './connection.ts';
import { current } from './context.ts';
import { describe, ERRORS, LoadError, summary } from './errors.ts';
import { Lifecycle } from './lifecycle.ts';
import { inspect } from './loader.ts';

const OLDEST_NODE = 20;

export function run(load: () => Promise<unknown>): void {
  const conn = new Connection(Number(process.env['POSTERN_WORKER_FD'] ?? 3));
  delete process.env['POSTERN_WORKER_FD'];
  const said = { style: process.env['POSTERN_STYLE'], format: process.env['POSTERN_EVENT_FORMAT'] };
  const major = Number(process.versions.node.split('.')[0]);
  if (major < OLDEST_NODE) {
    conn.failStart('runtime_too_old', `this is Node ${process.versions.node}; functions need Node ${OLDEST_NODE} or newer`, '');
    return;
  }
  capture(conn);
  guardProcess(conn);
  load().then(async (namespace) => {
    const life = new Lifecycle();
    await life.setup(namespace);
    const module = inspect(namespace, said, life);
    await life.start();
    conn.ready(module, life);
  }).catch((err: unknown) => {
    const { message, stack } = summary(err);
    conn.failStart(err instanceof LoadError ? err.code : 'module_failed', message, stack);
  });
}

/** A mistake in one request must cost that request, and no other. */
function guardProcess(conn: Connection): void {
  process.exit = ((code?: number): never => {
    const invocation = current.getStore();
    const err = new Error(`process.exit(${code ?? ''}) was called`);
    if (invocation === undefined && conn.module === undefined) {
      conn.failStart('module_failed', err.message, describe(err)); // with what it wrote before, which an exit would lose
      throw err;
    }
    invocation?.fail(ERRORS.WORKER_CRASHED, err);
    conn.log(3, describe(err), invocation?.id ?? '');
    conn.drain(typeof code === 'number' ? code : 0);
    throw err; // whoever called it must not go on
  }) as typeof process.exit;

  process.on('unhandledRejection', (reason) => {
    const invocation = current.getStore();
    conn.log(3, `unhandled rejection: ${describe(reason)}`, invocation?.id ?? '');
    if (conn.module === undefined) conn.failStart('module_failed', `unhandled rejection: ${summary(reason).message}`, describe(reason));
    else invocation?.fail(ERRORS.HANDLER_THREW, reason);
  });

  process.on('uncaughtException', (err) => {
    if (conn.module === undefined) {
      conn.failStart('module_failed', summary(err).message, describe(err));
      return;
    }
    const invocation = current.getStore();
    conn.log(3, `uncaught exception: ${describe(err)}`, invocation?.id ?? '');
    invocation?.fail(ERRORS.WORKER_CRASHED, err);
    // Its state cannot be trusted any more: let the others finish, and be replaced.
    conn.drain(1);
  });
}
