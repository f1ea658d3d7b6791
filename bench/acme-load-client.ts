import type { KeyObject } from 'node:crypto';
import { buildCertificateRequest } from '../src/core/x509/certificate-request.ts';
import { jwkOf, newKey, signJws, thumbprintOf } from '../test/support/acme-client.ts';
import { type Connection, jsonOf, openConnection, type Reply } from './json-connection.ts';

/** What http-01 is answered with, by token. */
export type Answers = Map<string, string>;

/** An ACME account on one kept connection, which does nothing but the flow of RFC 8555 section 7.1, polling without a pause. */
export class AcmeLoadClient {
  readonly #connection: Connection;
  readonly #origin: string;
  readonly #answers: Answers;
  readonly #key = newKey();
  readonly #thumbprint = thumbprintOf(this.#key);
  #directory: Record<string, unknown> = {};
  #kid: string | null = null;
  #sent = 0;
  #nonce = '';

  constructor(origin: string, answers: Answers) {
    this.#origin = origin;
    this.#connection = openConnection(origin);
    this.#answers = answers;
  }

  async register(directoryPath: string): Promise<void> {
    this.#directory = jsonOf(await this.#connection.send('GET', directoryPath, null));
    const reply = await this.#connection.send('HEAD', this.#pathOf(this.#directory['newNonce']), null);
    this.#nonce = String(reply.headers['replay-nonce']);
    const account = await this.#post(this.#directory['newAccount'], { termsOfServiceAgreed: true });
    jsonOf(account);
    this.#kid = String(account.headers['location']);
  }

  /** Order → authorization → challenge → poll → finalize → certificate (PEM). The CSR's key is made before. */
  async obtain(name: string, certificateKey: KeyObject): Promise<string> {
    const created = await this.#post(this.#directory['newOrder'], { identifiers: [{ type: 'dns', value: name }] });
    let order = jsonOf(created);
    const orderUrl = created.headers['location'];
    const [authorizationUrl] = order['authorizations'] as string[];
    let authorization = jsonOf(await this.#post(authorizationUrl, null));
    const challenge = (authorization['challenges'] as { type: string; url: string; token: string }[]).find(
      ({ type }) => type === 'http-01',
    )!;
    this.#answers.set(challenge.token, `${challenge.token}.${this.#thumbprint}`);
    jsonOf(await this.#post(challenge.url, {}));
    do authorization = jsonOf(await this.#post(authorizationUrl, null));
    while (authorization['status'] === 'pending' || authorization['status'] === 'processing');
    if (authorization['status'] !== 'valid') throw new Error(`authorization: ${JSON.stringify(authorization)}`);
    this.#answers.delete(challenge.token);
    const csr = Buffer.from(buildCertificateRequest({ dnsNames: [name] }, certificateKey)).toString('base64url');
    order = jsonOf(await this.#post(order['finalize'], { csr }));
    while (order['status'] === 'processing' || order['status'] === 'ready') order = jsonOf(await this.#post(orderUrl, null));
    const { text } = await this.#post(order['certificate'], null);
    if (!text.startsWith('-----BEGIN CERTIFICATE-----')) throw new Error(`certificate: ${text.slice(0, 300)}`);
    return text;
  }

  /** Requests that it ever signed: how often a server makes its client ask again is part of what it costs. */
  get sent(): number {
    return this.#sent;
  }

  close(): Promise<void> {
    return this.#connection.close();
  }

  async #post(url: unknown, payload: unknown): Promise<Reply> {
    this.#sent++;
    const signer = this.#kid === null ? { jwk: jwkOf(this.#key) } : { kid: this.#kid };
    const jws = signJws(this.#key, { alg: 'ES256', nonce: this.#nonce, url, ...signer }, payload);
    const reply = await this.#connection.send('POST', this.#pathOf(url), JSON.stringify(jws), { 'content-type': 'application/jose+json' });
    this.#nonce = String(reply.headers['replay-nonce']);
    return reply;
  }

  #pathOf(url: unknown): string {
    if (typeof url !== 'string' || !url.startsWith(this.#origin)) throw new Error(`${String(url)} is not on ${this.#origin}`);
    return url.slice(this.#origin.length);
  }
}
