import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect, createServer as createTcpServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer as createHttpsServer, type ServerOptions } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { freePort } from './free-port.ts';
import { chainPemOf, keyPemOf } from './proxy-lab.ts';
import { makeTestAuthority, type TestAuthority, type TestCredential } from './test-authority.ts';

/** Real servers of TLS on loopback, each with one property: of Node, of OpenSSL, nginx, HAProxy, and by hand. */
export class TlsServers implements AsyncDisposable {
  readonly authority: TestAuthority = makeTestAuthority(Date.now(), 'Fleet');
  readonly #folder: string;
  readonly #children: ChildProcess[] = [];
  readonly #servers: Server[] = [];
  readonly #sockets = new Set<Socket>();
  #files = 0;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async open(): Promise<TlsServers> {
    return new TlsServers(await mkdtemp(join(tmpdir(), 'countersign-tls-')));
  }

  /** A good credential for `localhost`. */
  credential(leaf: Parameters<TestAuthority['issue']>[0] = {}): TestCredential {
    return this.authority.issue({ dnsNames: ['localhost'], usages: ['server'], ...leaf });
  }

  async node(
    options: ServerOptions = {},
    answer: (request: IncomingMessage, response: ServerResponse) => void = (_, response) => void response.end('ok'),
  ): Promise<number> {
    const credential = this.credential();
    const server = createHttpsServer({ cert: chainPemOf(credential), key: keyPemOf(credential), ...options }, answer);
    return this.listen(server);
  }

  /** Whatever is answered to the first octets, by hand. */
  async byHand(onSocket: (socket: Socket) => void): Promise<number> {
    return this.listen(createTcpServer(onSocket));
  }

  async openssl(credential: Pem, args: readonly string[] = []): Promise<number> {
    const port = await freePort();
    const cert = await this.file(credential.cert);
    const key = await this.file(credential.key);
    const all = ['s_server', '-accept', `127.0.0.1:${port}`, '-cert', cert, '-cert_chain', cert, '-key', key, ...args];
    await this.#run('openssl', all, /ACCEPT/);
    return port;
  }

  /** `server`: the lines of its server block but `listen`, certificate and key. */
  async nginx(server: string, credential: Pem = pemOf(this.credential())): Promise<number> {
    const port = await freePort();
    const cert = await this.file(credential.cert);
    const key = await this.file(credential.key);
    const home = join(this.#folder, `nginx-${port}`);
    await mkdir(home);
    const config = await this.file(
      [
        `pid ${home}/pid; error_log stderr notice; daemon off; worker_processes 1; events { worker_connections 64; }`,
        `http { access_log off; client_body_temp_path ${home}/b; proxy_temp_path ${home}/p; fastcgi_temp_path ${home}/f;`,
        `uwsgi_temp_path ${home}/u; scgi_temp_path ${home}/s; server { listen 127.0.0.1:${port} ssl; ssl_certificate ${cert};`,
        `ssl_certificate_key ${key}; ${server} location / { return 200 "ok"; } } }`,
      ].join('\n'),
    );
    await this.#run('nginx', ['-c', config, '-e', 'stderr', '-p', home], /start worker process \d/);
    return port;
  }

  /** `bind`: what follows `bind ADDRESS ssl crt FILE`. */
  async haproxy(bind: string, credential: Pem = pemOf(this.credential())): Promise<number> {
    const port = await freePort();
    const crt = await this.file(credential.cert + credential.key);
    const config = await this.file(
      [
        'defaults\n  mode http\n  timeout connect 5s\n  timeout client 5s\n  timeout server 5s',
        `frontend f\n  bind 127.0.0.1:${port} ssl crt ${crt} ${bind}\n  http-request return status 200 content-type text/plain string ok\n`,
      ].join('\n'),
    );
    await this.#run('haproxy', ['-db', '-V', '-f', config], /Available polling/);
    // It says so before it listens.
    await untilConnected(port);
    return port;
  }

  async file(content: string | Uint8Array): Promise<string> {
    const path = join(this.#folder, `file-${this.#files++}.pem`);
    await writeFile(path, content, { mode: 0o600 });
    return path;
  }

  read(file: string): Promise<string> {
    return readFile(file, 'utf8');
  }

  async listen(server: Server): Promise<number> {
    this.#servers.push(server);
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on('error', () => undefined).on('close', () => this.#sockets.delete(socket));
    });
    server.on('tlsClientError', () => undefined);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  }

  async #run(program: string, args: readonly string[], ready: RegExp): Promise<void> {
    const child = spawn(program, args, { cwd: this.#folder, stdio: ['pipe', 'pipe', 'pipe'] });
    this.#children.push(child);
    let text = '';
    const started = Promise.withResolvers<void>();
    const read = (chunk: Buffer): void => {
      if (text.length < 100_000) text += chunk.toString();
      if (ready.test(text)) started.resolve();
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    child.once('error', started.reject);
    child.once('close', () => started.reject(new Error(`${program} ended: ${text}`)));
    await started.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of this.#servers) server.close();
    for (const socket of this.#sockets) socket.destroy();
    const running = this.#children.filter((child) => child.exitCode === null && child.signalCode === null);
    await Promise.all(running.map((child) => (child.kill(), once(child, 'close'))));
    await rm(this.#folder, { recursive: true, force: true });
  }
}

async function untilConnected(port: number): Promise<void> {
  for (let tries = 0; tries < 500; tries++) {
    const socket = connect(port, '127.0.0.1');
    const connected = await once(socket, 'connect').then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (connected) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`nothing listens on ${port}`);
}

/** A chain, leaf first, and its key, as PEM. */
export type Pem = { readonly cert: string; readonly key: string };

export function pemOf(credential: TestCredential): Pem {
  return { cert: chainPemOf(credential), key: keyPemOf(credential) };
}
