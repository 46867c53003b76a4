// A SQLite file in the function's own directory, made at the first start. SQLite itself comes as WebAssembly within the bundle:
// no native build, and the same on every Node.
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import initSqlJs from 'sql.js/dist/sql-wasm-inline.js';

interface Customer { id: string; name: string; city: string }

const seed: Customer[] = [
  { id: '1', name: 'Ada', city: 'London' },
  { id: '2', name: 'Grace', city: 'New York' },
  { id: 'é/3', name: "Robert'); DROP TABLE customers;--", city: 'Málaga' },
];

const SQL = await initSqlJs();
const file = join(process.env.HOME ?? '.', 'customers.sqlite');
const sqlite = existsSync(file) ? new SQL.Database(readFileSync(file)) : create();

function create() {
  const made = new SQL.Database();
  made.run('CREATE TABLE customers (id TEXT PRIMARY KEY, name TEXT NOT NULL, city TEXT NOT NULL)');
  for (const c of seed) made.run('INSERT INTO customers VALUES (?, ?, ?)', [c.id, c.name, c.city]);
  const whole = `${file}.${process.pid}`; // another worker may begin at the same time
  writeFileSync(whole, made.export());
  renameSync(whole, file);
  return made;
}

export const db = {
  customers: {
    async findById(id: string): Promise<Customer | undefined> {
      console.log(`looking for customer ${id}`);
      const found = sqlite.prepare('SELECT id, name, city FROM customers WHERE id = ?', [id]);
      try {
        return found.step() ? (found.getAsObject() as unknown as Customer) : undefined;
      } finally {
        found.free();
      }
    },
  },
};
