/** Every installed package must carry a licence that permits use in an Apache-2.0 program. Exits 1 and names each that does not. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

type Lock = { readonly packages: { readonly [path: string]: { readonly license?: string; readonly dev?: boolean } } };

const root = join(import.meta.dirname, '..');
const permitted = new Set([
  '0BSD',
  'Apache-2.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'BlueOak-1.0.0',
  'CC0-1.0',
  'ISC',
  'MIT',
  'PostgreSQL',
  'Python-2.0',
  'Unlicense',
]);

/** True if an SPDX expression can be satisfied by permitted licences alone. */
function isPermitted(expression: string): boolean {
  const words = expression.replaceAll(/[()]/g, '');
  return words.split(' OR ').some((side) => side.split(' AND ').every((licence) => permitted.has(licence.trim())));
}

/** The licence that the lock file states, else the one in the installed package's own manifest. */
function licenceOf(path: string, stated: string | undefined): string {
  if (stated !== undefined) return stated;
  try {
    const manifest = JSON.parse(readFileSync(join(root, path, 'package.json'), 'utf8')) as { license?: string };
    return manifest.license ?? 'none stated';
  } catch {
    return 'not installed here';
  }
}

const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as Lock;
const refused = Object.entries(lock.packages)
  .filter(([path]) => path !== '')
  .map(([path, { license }]) => ({ path, licence: licenceOf(path, license) }))
  .filter(({ licence }) => licence !== 'not installed here' && !isPermitted(licence));
for (const { path, licence } of refused) console.error(`${path}: ${licence}`);
console.log(refused.length === 0 ? 'licences: clean' : `licences: ${refused.length} not permitted`);
process.exitCode = refused.length === 0 ? 0 : 1;
