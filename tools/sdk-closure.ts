import { readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { parseSync } from 'oxc-parser';

const root = join(import.meta.dirname, '..');

/** What a program that imports `entry` loads: its files, and its packages with the file that wants each. Types load nothing. */
export type Closure = { readonly files: readonly string[]; readonly packages: ReadonlyMap<string, string> };

/** Follows the imports that are left when types are stripped. */
export function readClosure(entry: string): Closure {
  const files = [entry];
  const packages = new Map<string, string>();
  for (const file of files) {
    for (const specifier of readImports(file)) {
      if (!specifier.startsWith('.')) {
        if (!specifier.startsWith('node:')) packages.set(packageOf(specifier), file);
        continue;
      }
      const next = relative(root, join(root, dirname(file), specifier));
      if (!files.includes(next)) files.push(next);
    }
  }
  return { files, packages };
}

export const sdkEntry = 'src/dataplane/sdk/countersign-sdk.ts';

/** Why what the SDK loads is more than it may: a service shall not carry a control plane about. */
export function judgeSdkClosure({ files, packages }: Closure): readonly string[] {
  const strangers = files.filter((file) => !sdkFolders.some((folder) => file.startsWith(folder)));
  const heavy = [...packages].filter(([name]) => !sdkPackages.includes(name));
  return [
    ...strangers.map((file) => `${sdkEntry}: loads ${file}, which is no part of the SDK`),
    ...heavy.map(([name, file]) => `${sdkEntry}: loads the package ${name} by ${file}, expected only ${sdkPackages.join(', ')}`),
  ];
}

const sdkFolders = [
  'src/core/',
  'src/dataplane/link/',
  'src/dataplane/sdk/',
  'src/dataplane/tls/',
  'src/platform/clock/',
  'src/platform/grpc/',
  'src/platform/keystore/',
  'src/platform/network/',
];
const sdkPackages = ['@bufbuild/protobuf', '@grpc/grpc-js', 'undici'];

function readImports(file: string): readonly string[] {
  const text = readFileSync(join(root, file), 'utf8');
  const { module } = parseSync(file, text);
  return [
    ...module.staticImports
      .filter(({ entries }) => entries.length === 0 || entries.some(({ isType }) => !isType))
      .map(({ moduleRequest }) => moduleRequest.value),
    ...module.staticExports.flatMap(({ entries }) =>
      entries.flatMap(({ moduleRequest, isType }) => (moduleRequest === null || isType ? [] : [moduleRequest.value])),
    ),
    ...module.dynamicImports.flatMap(({ moduleRequest }) => {
      const literal = text.slice(moduleRequest.start, moduleRequest.end);
      return /^['"].*['"]$/.test(literal) ? [literal.slice(1, -1)] : [];
    }),
  ];
}

/** `@scope/name/path` and `name/path` without the path. */
function packageOf(specifier: string): string {
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
}
