/** `node bin/with-node26.js tools/build-sdk.ts [FOLDER]`: makes the package `countersign-sdk` from this tree, in dist/sdk if no folder is given. */
import { spawnSync } from 'node:child_process';
import { copyFileSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { judgeSdkClosure, readClosure, sdkEntry } from './sdk-closure.ts';

const root = join(import.meta.dirname, '..');

/** Makes the package anew in this folder: JavaScript of what the SDK loads, types of all that it names, and nothing else. @throws Error */
export function buildSdk(folder: string): void {
  const closure = readClosure(sdkEntry);
  const [breach] = judgeSdkClosure(closure);
  if (breach !== undefined) throw new Error(breach);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  // What is to be read stands beside the types; programs are installed without it.
  compile(folder, '--removeComments', '--declaration', 'false');
  compile(folder, '--emitDeclarationOnly');
  dropUnloaded(folder, closure.files);
  const entry = `./${sdkEntry.slice('src/'.length).replace(/\.ts$/, '')}`;
  dropUnnamed(folder, join(folder, `${entry}.d.ts`));
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(packageOf([...closure.packages.keys()], entry), null, 2)}\n`);
  copyFileSync(join(root, 'LICENSE'), join(folder, 'LICENSE'));
  copyFileSync(join(root, 'docs/reference/sdk.md'), join(folder, 'README.md'));
}

function compile(folder: string, ...options: readonly string[]): void {
  const compiler = join(root, 'node_modules/typescript/bin/tsc');
  const args = [compiler, '-p', join(root, 'tsconfig.sdk.json'), '--outDir', folder, ...options];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`Cannot compile SDK: ${stdout}${stderr}`);
}

/** The compiler also writes modules of which only types are named; their JavaScript would ask for packages that nobody installs. */
function dropUnloaded(folder: string, loaded: readonly string[]): void {
  const wanted = new Set(loaded.map((file) => file.slice('src/'.length).replace(/\.ts$/, '.js')));
  for (const file of globSync('**/*.js', { cwd: folder })) if (!wanted.has(file)) rmSync(join(folder, file));
}

/** Types that nothing which can be imported names, by whatever way. */
function dropUnnamed(folder: string, entry: string): void {
  const named = new Set<string>();
  const pending = [entry];
  for (let file = pending.pop(); file !== undefined; file = pending.pop()) {
    if (named.has(file)) continue;
    named.add(file);
    for (const [, specifier] of readFileSync(file, 'utf8').matchAll(/(?:from |import\(|import )['"](\.[^'"]+)\.[jt]s['"]/g)) {
      pending.push(join(dirname(file), `${specifier}.d.ts`));
    }
  }
  for (const file of globSync('**/*.d.ts', { cwd: folder })) if (!named.has(join(folder, file))) rmSync(join(folder, file));
}

function packageOf(packages: readonly string[], entry: string): object {
  const own = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    readonly version: string;
    readonly license: string;
    readonly dependencies: { readonly [name: string]: string };
  };
  return {
    name: 'countersign-sdk',
    version: own.version,
    description: 'Mutual TLS inside a Node service, driven by a Countersign control plane: no sidecar',
    license: own.license,
    type: 'module',
    engines: { node: '>=26' },
    exports: { '.': { types: `${entry}.d.ts`, default: `${entry}.js` } },
    // Every file of the package is loaded or is a type of one that is.
    sideEffects: false,
    dependencies: Object.fromEntries(packages.toSorted().map((name) => [name, own.dependencies[name]])),
  };
}

if (process.argv[1] === import.meta.filename) {
  const folder = resolve(process.argv[2] ?? join(root, 'dist/sdk'));
  buildSdk(folder);
  console.log(`countersign-sdk is in ${folder}`);
}
