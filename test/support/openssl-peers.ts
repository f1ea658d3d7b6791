import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Certificate } from '../../src/core/x509/certificate.ts';
import { encodePem } from '../../src/core/x509/pem.ts';
import { freePort } from './free-port.ts';
import { chainPemOf, keyPemOf } from './proxy-lab.ts';
import { makeTestAuthority, type TestAuthority, type TestCredential } from './test-authority.ts';

/** A line of the index that OpenSSL's CA keeps: valid or revoked. */
export type IndexEntry = { readonly certificate: Certificate; readonly status: 'V' | 'R' };

/** OpenSSL's own responder over an index of its own form, and its server. */
export class OpensslPeers implements AsyncDisposable {
  readonly #children: ChildProcess[] = [];
  readonly web = makeTestAuthority(Date.now(), 'Web');
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** A responder that knows from its start on what it is told then. */
  async responder(): Promise<{ readonly ocspUri: string; start(entries: readonly IndexEntry[], ends?: readonly string[]): Promise<void> }> {
    const port = await freePort();
    const [ca, key] = [await this.file('ca', encodePem('CERTIFICATE', this.web.issuing.der)), await this.file('key', keyOf(this.web))];
    const start = async (entries: readonly IndexEntry[], ends: readonly string[] = ['-nmin', '10']): Promise<void> => {
      const index = await this.file('index', entries.map((entry) => `${lineOf(entry)}\n`).join(''));
      const args = ['ocsp', '-port', String(port), '-index', index, '-CA', ca, '-rsigner', ca, '-rkey', key, ...ends];
      await this.#run(args, /waiting for OCSP client/);
    };
    return { ocspUri: `http://127.0.0.1:${port}/`, start };
  }

  /** A server that sends the file of its folder that is asked for, as it stands. */
  async server(credential: TestCredential, more: readonly string[] = []): Promise<number> {
    const port = await freePort();
    const [cert, key] = [await this.file('leaf', chainPemOf(credential)), await this.file('leaf-key', keyPemOf(credential))];
    await this.#run(
      ['s_server', '-accept', `127.0.0.1:${port}`, '-cert', cert, '-cert_chain', cert, '-key', key, '-HTTP', '-alpn', 'http/1.1', ...more],
      /ACCEPT/,
    );
    return port;
  }

  async file(name: string, content: string | Uint8Array): Promise<string> {
    const path = join(this.#folder, `${name}-${this.web.root.serialHex}`);
    await writeFile(path, content);
    return path;
  }

  async #run(args: readonly string[], ready: RegExp): Promise<void> {
    const child = spawn('openssl', args, { cwd: this.#folder, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#children.push(child);
    let text = '';
    const started = Promise.withResolvers<void>();
    const read = (chunk: Buffer): void => {
      text += chunk.toString();
      if (ready.test(text)) started.resolve();
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    child.once('close', () => started.reject(new Error(`openssl ${args[0]} ended: ${text}`)));
    await started.promise;
    child.removeAllListeners('close');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#children.map((child) => (child.kill(), once(child, 'close'))));
  }
}

function lineOf({ certificate, status }: IndexEntry): string {
  const revokedAt = status === 'R' ? '260101000000Z,keyCompromise' : '';
  return [status, '300101000000Z', revokedAt, certificate.serialHex.toUpperCase(), 'unknown', '/CN=x'].join('\t');
}

function keyOf({ issuingKey }: TestAuthority): string {
  return issuingKey.export({ type: 'pkcs8', format: 'pem' }) as string;
}
