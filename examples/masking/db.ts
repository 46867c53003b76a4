// Who may reach whom, and through which number of ours: a SQLite file, where the runtime keeps it. SQLite itself comes as WebAssembly
// within the bundle: no native build, and the same on every Node.
import { existsSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import initSqlJs from 'sql.js/dist/sql-wasm-inline.js';

export interface Session { id: string; proxy: string; a: string; b: string }

const SQL = await initSqlJs();

/** One file for all workers: read again when another has written it. There is one worker (postern.json), so nobody writes at the same time. */
export class Sessions {
  readonly #file: string;
  #sqlite = new SQL.Database();
  #read = '';

  constructor(file: string) {
    this.#file = file;
  }

  /** Takes a number that neither of the two has in another session: by it and the caller we know whom to call. Opened again, a session keeps its number. */
  open(id: string, a: string, b: string, proxies: readonly string[], now: number, until: number): Session | undefined {
    const db = this.#fresh();
    db.run('DELETE FROM sessions WHERE until <= ?', [now]);
    const others = this.#rows('SELECT proxy FROM sessions WHERE id <> ? AND (a IN (?, ?) OR b IN (?, ?))', [id, a, b, a, b]).map((r) => r.proxy);
    const before = this.#rows('SELECT proxy FROM sessions WHERE id = ?', [id]).map((r) => r.proxy);
    const proxy = [...before, ...proxies].find((p) => proxies.includes(p) && !others.includes(p));
    if (proxy === undefined) return undefined;
    db.run('INSERT OR REPLACE INTO sessions (id, proxy, a, b, until) VALUES (?, ?, ?, ?, ?)', [id, proxy, a, b, until]);
    this.#keep();
    return { id, proxy, a, b };
  }

  /** Reports whether there was one. */
  close(id: string): boolean {
    const db = this.#fresh();
    db.run('DELETE FROM sessions WHERE id = ?', [id]);
    const closed = db.getRowsModified() > 0;
    if (closed) this.#keep();
    return closed;
  }

  /** Whom somebody reaches who calls a number of ours; undefined for a stranger, and when the time is over. */
  other(proxy: string, caller: string, now: number): string | undefined {
    this.#fresh();
    const [found] = this.#rows('SELECT a, b FROM sessions WHERE proxy = ? AND ? IN (a, b) AND until > ?', [proxy, caller, now]);
    return found === undefined ? undefined : found.a === caller ? found.b : found.a;
  }

  #rows(sql: string, values: (string | number)[]): Session[] {
    const statement = this.#sqlite.prepare(sql, values);
    const rows: Session[] = [];
    try {
      while (statement.step()) rows.push(statement.getAsObject() as unknown as Session);
    } finally {
      statement.free();
    }
    return rows;
  }

  #fresh() {
    const { mtimeMs, size } = existsSync(this.#file) ? statSync(this.#file) : { mtimeMs: 0, size: 0 };
    const seen = `${mtimeMs} ${size}`;
    if (this.#read !== seen) {
      this.#sqlite.close();
      this.#sqlite = size > 0 ? new SQL.Database(readFileSync(this.#file)) : new SQL.Database();
      this.#sqlite.run('CREATE TABLE IF NOT EXISTS sessions (id TEXT PRIMARY KEY, proxy TEXT NOT NULL, a TEXT NOT NULL, b TEXT NOT NULL, until INTEGER NOT NULL)');
      this.#read = seen;
    }
    return this.#sqlite;
  }

  #keep(): void {
    const whole = `${this.#file}.${process.pid}`; // a reader sees the old file or the new one, and never half of one
    writeFileSync(whole, this.#sqlite.export());
    renameSync(whole, this.#file);
    const { mtimeMs, size } = statSync(this.#file);
    this.#read = `${mtimeMs} ${size}`;
  }
}
