import type { IncomingHttpHeaders } from 'node:http';
import type { Secret } from '../../core/secrets/secret.ts';
import { decodePem } from '../../core/x509/pem.ts';
import type { Clock } from '../clock/clock.ts';
import type { NameResolver } from '../network/name-resolver.ts';
import type { OutsidePolicy } from '../network/outside-policy.ts';
import { type OutsideMessage, sendOutside } from '../network/send-outside.ts';
import { AcmeFailure, readProblem } from './acme-failure.ts';
import { type AcmeDirectory, malformedAnswer, readDirectory } from './acme-resources.ts';
import { type AcmeAccountKey, type JwsSigner, signBinding, signJws } from './sign-jws.ts';

export type AcmeSessionOptions = {
  readonly directoryUrl: string;
  /** PEM of the anchors of the CA's HTTPS; null: those that Node carries. */
  readonly anchorsPem: string | null;
  readonly key: AcmeAccountKey;
  /** URL of the account; null: none is registered yet. */
  readonly account: string | null;
  readonly resolver: NameResolver;
  readonly policy: OutsidePolicy;
  readonly clock: Clock;
};

export type AcmeReply = { readonly status: number; readonly headers: IncomingHttpHeaders; readonly json: unknown; readonly text: string };

export type AcmeBinding = { readonly kid: string; readonly macKey: Secret<Uint8Array> };

/** A conversation with one CA under one account key (RFC 8555): it holds the directory and unused nonces. */
export class AcmeSession {
  readonly #options: AcmeSessionOptions;
  #account: string | null;
  #directory: AcmeDirectory | null = null;
  #nonces: string[] = [];

  constructor(options: AcmeSessionOptions) {
    this.#options = options;
    this.#account = options.account;
  }

  get origin(): string {
    return new URL(this.#options.directoryUrl).origin;
  }

  /** @throws AcmeFailure */
  async directory(): Promise<AcmeDirectory> {
    this.#directory ??= readDirectory((await this.get(this.#options.directoryUrl)).json, this.origin);
    return this.#directory;
  }

  /** Registers the key, or finds the account that it has already; the account's URL. @throws AcmeFailure */
  async register(request: { readonly contacts: readonly string[]; readonly binding: AcmeBinding | null }): Promise<string> {
    const directory = await this.directory();
    if (directory.externalAccountRequired && request.binding === null) {
      throw new AcmeFailure('refused', 'externalAccountRequired', 'the CA wants an external account binding, and none is set');
    }
    const { contacts, binding } = request;
    const payload = {
      termsOfServiceAgreed: true,
      ...(contacts.length === 0 ? {} : { contact: contacts.map((address) => `mailto:${address}`) }),
      ...(binding === null ? {} : { externalAccountBinding: signBinding(this.#options.key, { url: directory.newAccount, ...binding }) }),
    };
    const { headers } = await this.#post(directory.newAccount, payload, { kind: 'jwk' });
    this.#account = this.#location(headers);
    return this.#account;
  }

  /** POST with the account's key; null is POST-as-GET. @throws AcmeFailure */
  async post(url: string, payload: object | null): Promise<AcmeReply> {
    if (this.#account === null) throw new AcmeFailure('refused', 'accountDoesNotExist', 'no account is registered');
    return this.#post(url, payload, { kind: 'kid', kid: this.#account });
  }

  /** Without authentication, as renewal information is asked (RFC 9773 section 4.1). @throws AcmeFailure */
  async get(url: string): Promise<AcmeReply> {
    return this.#judge(await this.#send({ method: 'GET', url }));
  }

  /** Makes an order; its URL. @throws AcmeFailure */
  async order(payload: object): Promise<string> {
    const { headers } = await this.post((await this.directory()).newOrder, payload);
    return this.#location(headers);
  }

  /** Asks for the revocation of a certificate of this account (RFC 8555 section 7.6), with a code of RFC 5280 section 5.3.1. @throws AcmeFailure */
  async revoke(certificate: Uint8Array, reason: number): Promise<void> {
    const { revokeCert } = await this.directory();
    await this.post(revokeCert, { certificate: Buffer.from(certificate).toString('base64url'), reason });
  }

  /** The chain, and those that the CA offers beside it (RFC 8555 section 7.4.2), each leaf first. @throws AcmeFailure */
  async chains(url: string): Promise<readonly (readonly Uint8Array[])[]> {
    const first = await this.post(url, null);
    const others = linksOf(first.headers, 'alternate')
      .filter((link) => URL.canParse(link, url) && new URL(link, url).origin === this.origin)
      .slice(0, MAXIMUM_ALTERNATES);
    const texts = [first.text];
    for (const link of others) texts.push((await this.post(new URL(link, url).href, null)).text);
    return texts.map((text) => {
      const chain = decodePem(text, 'CERTIFICATE');
      if (chain.length === 0 || chain.length > MAXIMUM_CHAIN) throw malformedAnswer(`a chain of ${chain.length} certificates`);
      return chain;
    });
  }

  async #post(url: string, payload: object | null, signer: JwsSigner): Promise<AcmeReply> {
    for (let attempt = 1; ; attempt++) {
      const nonce = this.#nonces.pop() ?? (await this.#newNonce());
      const body = signJws(this.#options.key, { signer, url, nonce, payload });
      try {
        return this.#judge(await this.#send({ method: 'POST', url, contentType: 'application/jose+json', body }));
      } catch (error) {
        // RFC 8555 section 6.5: a refused nonce is tried again with the one that came with the refusal.
        if (!(error instanceof AcmeFailure) || error.type !== 'badNonce' || attempt === MAXIMUM_ATTEMPTS) throw error;
      }
    }
  }

  async #newNonce(): Promise<string> {
    const { newNonce } = await this.directory();
    await this.#send({ method: 'HEAD', url: newNonce });
    const nonce = this.#nonces.pop();
    if (nonce === undefined) throw malformedAnswer('the answer of newNonce has no Replay-Nonce');
    return nonce;
  }

  async #send(message: Pick<OutsideMessage, 'method' | 'url' | 'contentType' | 'body'>) {
    const { anchorsPem, resolver, policy } = this.#options;
    const sent = await sendOutside({ resolver, policy }, { ...message, anchorsPem, timeoutMs: TIMEOUT_MS, maximumOctets: MAXIMUM_OCTETS });
    if (sent.kind === 'failed') throw new AcmeFailure('deferred', 'connection', `${sent.stage}: ${sent.detail}`);
    const nonce = sent.headers['replay-nonce'];
    // RFC 8555 section 6.5.1: base64url. What is none is not signed.
    if (typeof nonce === 'string' && /^[A-Za-z0-9_-]{1,1000}$/.test(nonce) && this.#nonces.length < MAXIMUM_NONCES)
      this.#nonces.push(nonce);
    return sent;
  }

  #judge({ status, headers, body }: { readonly status: number; readonly headers: IncomingHttpHeaders; readonly body: Buffer }): AcmeReply {
    const text = body.toString('utf8');
    const json = /^application\/(?:[a-z.-]+\+)?json/i.test(headers['content-type'] ?? '') ? parseJson(text) : null;
    if (status >= 200 && status < 300) return { status, headers, json, text };
    const { type, detail } = readProblem(json);
    const passing = status >= 500 || status === 429 || type === 'rateLimited' || type === 'badNonce' || type === 'serverInternal';
    const retryAt = retryAfterOf(headers, this.#options.clock.now());
    throw new AcmeFailure(passing ? 'deferred' : 'refused', type, detail === '' ? `HTTP status ${status}` : detail, { retryAt, status });
  }

  #location({ location }: IncomingHttpHeaders): string {
    if (location === undefined || !URL.canParse(location) || new URL(location).origin !== this.origin || location.length > 2_000) {
      throw malformedAnswer('the answer has no Location of the CA');
    }
    return location;
  }
}

/** Seconds or a date (RFC 9110 section 10.2.3), within a day. */
export function retryAfterOf(headers: IncomingHttpHeaders, now: number): number | null {
  const text = headers['retry-after'];
  if (text === undefined) return null;
  const at = /^\d{1,9}$/.test(text) ? now + Number(text) * 1_000 : Date.parse(text);
  return Number.isNaN(at) ? null : Math.min(Math.max(at, now), now + MAXIMUM_RETRY_MS);
}

function linksOf({ link }: IncomingHttpHeaders, relation: string): readonly string[] {
  const text = Array.isArray(link) ? link.join(',') : (link ?? '');
  return [...text.matchAll(/<([^>]{1,2000})>\s*;\s*rel="?([a-z]+)"?/g)].flatMap(([, url, rel]) => (rel === relation ? [url!] : []));
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw malformedAnswer('what is said to be JSON is none');
  }
}

const TIMEOUT_MS = 20_000;
/** A chain of ten certificates is some 20 KiB. */
const MAXIMUM_OCTETS = 262_144;
/** Pebble refuses every twentieth good nonce, a misconfigured farm more. */
const MAXIMUM_ATTEMPTS = 8;
const MAXIMUM_NONCES = 20;
const MAXIMUM_ALTERNATES = 4;
const MAXIMUM_CHAIN = 10;
const MAXIMUM_RETRY_MS = 86_400_000;
