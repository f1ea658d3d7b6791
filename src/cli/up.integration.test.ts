import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test, type TestContext } from 'node:test';

const program = join(import.meta.dirname, 'main.ts');
const nodeArgs = ['--disable-warning=ExperimentalWarning', program];

type Line = { readonly msg?: string; readonly program?: string; readonly pid?: number; readonly text: string };

/** One run of `countersign up`, read line by line; killed with its children when the test is over. */
class Up {
  readonly child: ChildProcess;
  readonly ended: Promise<number | NodeJS.Signals | null>;
  readonly #lines: Line[] = [];
  readonly #waiting = new Set<() => void>();

  constructor(context: TestContext, args: readonly string[]) {
    this.child = spawn(process.execPath, [...nodeArgs, 'up', ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
    this.ended = new Promise((resolve) => this.child.once('exit', (code, signal) => resolve(code ?? signal)));
    createInterface({ input: this.child.stderr! }).on('line', (text) => {
      this.#lines.push(text.startsWith('{') ? { ...(JSON.parse(text) as object), text } : { text });
      for (const look of this.#waiting) look();
    });
    // Its children end when it is gone.
    context.after(() => this.child.kill('SIGKILL'));
  }

  /** The first line after `from` that fits; how many lines there were then is where to go on. */
  async line(fits: (line: Line) => boolean, from = 0): Promise<Line & { readonly next: number }> {
    const { promise, resolve, reject } = Promise.withResolvers<Line & { readonly next: number }>();
    const look = (): void => {
      const index = this.#lines.findIndex((line, at) => at >= from && fits(line));
      if (index >= 0) resolve({ ...this.#lines[index]!, next: index + 1 });
    };
    this.#waiting.add(look);
    void this.ended.then((how) => reject(new Error(`up ended with ${how}: ${this.text()}`)));
    look();
    return promise.finally(() => this.#waiting.delete(look));
  }

  text(): string {
    return this.#lines.map(({ text }) => text).join('\n');
  }
}

const says =
  (who: string, msg: string) =>
  (line: Line): boolean =>
    line.program === who && line.msg === msg;
const endedBy =
  (who: string) =>
  ({ text }: Line): boolean =>
    text.startsWith(`${who} ended by`);

async function command(
  args: readonly string[],
): Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }> {
  const child = spawn(process.execPath, [...nodeArgs, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const [stdout, stderr] = [child.stdout, child.stderr].map((stream) => stream.setEncoding('utf8').toArray());
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, stdout: (await stdout!).join(''), stderr: (await stderr!).join('') };
}

async function freeAddresses(): Promise<readonly [string, string, string]> {
  const servers = await Promise.all([0, 1, 2].map(() => listening(0)));
  const addresses = servers.map((server) => `127.0.0.1:${(server.address() as { port: number }).port}`);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return addresses as unknown as readonly [string, string, string];
}

function listening(port: number): Promise<Server> {
  return new Promise((resolve) => {
    const server = createServer().listen(port, '127.0.0.1', () => resolve(server));
  });
}

async function openPlace(context: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-up-'));
  context.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 }));
  const directory = join(folder, 'cs');
  const [admin, dataPlane, open] = await freeAddresses();
  const args = ['--directory', directory, '--admin', admin, '--data-plane', dataPlane, '--public', open];
  const tokenFile = join(folder, 'admin.token');
  const client = ['--server', `https://${admin}`, '--root', join(directory, 'data/root.pem')];
  const ask = async <T>(...words: readonly string[]): Promise<T> => {
    const { code, stdout, stderr } = await command([...words, ...client, '--token-file', tokenFile, '--json']);
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout) as T;
  };
  const enter = async (): Promise<void> => {
    const bootstrap = join(directory, 'data/bootstrap.token');
    const { code, stderr } = await command([
      'token',
      'exchange',
      '--bootstrap-file',
      bootstrap,
      '--name',
      'ada',
      '--out',
      tokenFile,
      ...client,
    ]);
    assert.equal(code, 0, stderr);
  };
  return { folder, directory, args, ask, enter };
}

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

const gatewayYaml = `
apiVersion: countersign/v1
kind: Service
name: edge
owner: platform
---
apiVersion: countersign/v1
kind: Proxy
name: gateway
service: edge
role: gateway
`;

type Proxies = { readonly items: readonly { readonly name: string; readonly connected: boolean }[] };

test('up starts each of its programs again after kill -9, ends both at SIGTERM, and goes on where it stood', async (context) => {
  const { folder, directory, args, ask, enter } = await openPlace(context);
  const first = new Up(context, args);
  const offered = await first.line(says('server', 'first start: exchange the bootstrap token within one hour'));
  await enter();
  writeFileSync(join(folder, 'gateway.yaml'), gatewayYaml);
  await ask('apply', '-f', join(folder, 'gateway.yaml'), '--yes');
  await ask('token', 'join', '--proxy', 'gateway', '--out', join(directory, 'gateway.token'));
  const joined = await first.line(says('proxy', 'joined'), offered.next);
  rmSync(join(directory, 'gateway.token'));

  process.kill(joined.pid!, 'SIGKILL');
  assert.match((await first.line(endedBy('gateway'), joined.next)).text, /SIGKILL/);
  const again = await first.line(says('proxy', 'proxy runs'), (await first.line(endedBy('gateway'))).next);
  assert.notEqual(again.pid, joined.pid);

  process.kill(offered.pid!, 'SIGKILL');
  assert.match((await first.line(endedBy('server'), again.next)).text, /SIGKILL/);
  const server = await first.line(says('server', 'server listens'), (await first.line(endedBy('server'))).next);
  const untilConnected = async (): Promise<void> => {
    for (;;) if ((await ask<Proxies>('list', 'proxies')).items.every(({ connected }) => connected)) return;
  };
  await untilConnected();

  first.child.kill('SIGTERM');
  assert.equal(await first.ended, 0, first.text());
  assert.deepEqual([server.pid!, again.pid!].filter(isAlive), []);
  assert.match(first.text(), /server stops/);

  const second = new Up(context, args);
  const serving = await second.line(says('server', 'server listens'));
  await second.line(says('proxy', 'proxy runs'));
  await untilConnected();
  assert.doesNotMatch(second.text(), /first start|"joined"/);
  second.child.kill('SIGINT');
  assert.equal(await second.ended, 0, second.text());
  assert.equal(isAlive(serving.pid!), false);
});

test('the programs of up end when it dies, so that the next start finds its addresses free', async (context) => {
  const { args } = await openPlace(context);
  const first = new Up(context, args);
  await first.line(says('server', 'server listens'));
  first.child.kill('SIGKILL');
  assert.equal(await first.ended, 'SIGKILL');
  const second = new Up(context, args);
  await second.line(says('server', 'server listens'));
  second.child.kill('SIGTERM');
  assert.equal(await second.ended, 0, second.text());
});

test('up writes nothing when an address is taken, and names the option', async (context) => {
  const { directory, args } = await openPlace(context);
  const taken = await listening(0);
  const address = `127.0.0.1:${(taken.address() as { port: number }).port}`;
  const { code, stderr } = await command(['up', ...args.slice(0, 4), '--data-plane', address]);
  taken.close();
  assert.equal(code, 2);
  assert.match(stderr, /expected another by --data-plane \[input-invalid\]/);
  assert.throws(() => readFileSync(join(directory, 'countersign.yaml')), { code: 'ENOENT' });
});

for (const [what, option] of [
  ['a trust domain', ['--trust-domain', 'other.example']],
  ['an environment', ['--environment', 'stage']],
  ['a database', ['--database', 'postgres://countersign@127.0.0.1/other']],
  ['an address', ['--public', '127.0.0.1:1']],
] as const) {
  test(`up refuses ${what} other than the file of the first start says`, async (context) => {
    const { folder } = await openPlace(context);
    writeFileSync(join(folder, 'countersign.yaml'), 'dataDirectory: data\nkeyFile: kek\ntrustDomain: acme.example\n');
    const { code, stderr } = await command(['up', '--directory', folder, ...option]);
    assert.equal(code, 2);
    assert.match(stderr, /change it in the file \[input-invalid\]/);
  });
}
