/** The parts of package-lock.json (version 3) that matter here. */
export type LockFile = { readonly packages: { [path: string]: LockedPackage } };
export type LockedPackage = {
  readonly version?: string;
  readonly dev?: boolean;
  readonly optional?: boolean;
  readonly os?: readonly string[];
  readonly cpu?: readonly string[];
  readonly libc?: readonly string[];
  readonly optionalDependencies?: { readonly [name: string]: string };
};

/**
 * The optional builds for other platforms that the lock file does not name. npm leaves out those that its registry does not carry,
 * and then `npm ci` refuses the whole file; an entry without a digest is enough, for a package that this platform never installs.
 */
export function missingBuilds({ packages }: LockFile): { readonly [path: string]: LockedPackage } {
  const missing: Record<string, LockedPackage> = {};
  for (const [path, { optionalDependencies = {}, dev }] of Object.entries(packages)) {
    for (const [name, version] of Object.entries(path === '' ? {} : optionalDependencies)) {
      if (packages[`node_modules/${name}`] !== undefined || packages[`${path}/node_modules/${name}`] !== undefined) continue;
      missing[`node_modules/${name}`] = { version, ...(dev === true ? { dev } : {}), optional: true, ...platformOf(name) };
    }
  }
  return missing;
}

/** `@scope/binding-linux-arm64-musl` is for linux, arm64, musl. */
function platformOf(name: string): Pick<LockedPackage, 'os' | 'cpu' | 'libc'> {
  const words = name.split('/').at(-1)!.split('-');
  const os = words.find((word) => systems.includes(word));
  const cpu = words.map((word) => processors[word]).find((word) => word !== undefined);
  return {
    ...(os === undefined ? {} : { os: [os] }),
    ...(cpu === undefined ? {} : { cpu: [cpu] }),
    ...(words.includes('musl') ? { libc: ['musl'] } : {}),
  };
}

const systems = ['aix', 'android', 'darwin', 'freebsd', 'linux', 'netbsd', 'openbsd', 'openharmony', 'sunos', 'win32'];
const processors: { readonly [word: string]: string } = {
  aarch64: 'arm64', arm: 'arm', arm64: 'arm64', armv7: 'arm', ia32: 'ia32', loong64: 'loong64', ppc64: 'ppc64', riscv64: 'riscv64', s390x: 's390x', x64: 'x64',
}; // prettier-ignore
