/** `npm run lock`, after `npm install`: names the builds for other platforms that the registry at hand does not carry. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type LockFile, missingBuilds } from './lock-file.ts';

const file = join(import.meta.dirname, '../package-lock.json');
const lock = JSON.parse(readFileSync(file, 'utf8')) as LockFile;
const missing = missingBuilds(lock);
const packages = { ...lock.packages, ...missing };
const sorted = Object.fromEntries(Object.entries(packages).toSorted(([a], [b]) => (a < b ? -1 : 1)));
writeFileSync(file, `${JSON.stringify({ ...lock, packages: sorted }, null, 2)}\n`);
console.log(`lock: ${Object.keys(missing).length} builds added`);
