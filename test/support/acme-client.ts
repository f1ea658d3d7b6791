import { createHash, generateKeyPairSync, type KeyObject, sign, createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import { buildCertificateRequest, type RequestFields } from '../../src/core/x509/certificate-request.ts';

export type AcmeReply = {
  readonly status: number;
  readonly headers: { readonly [name: string]: string | string[] | undefined };
  readonly text: string;
  /** The body, where it is JSON. */
  readonly json: any;
};

/** A JWS may be bent before it is sent: each field takes the place of the right one. */
export type Bend = {
  readonly header?: { readonly [name: string]: unknown };
  readonly without?: readonly string[];
  readonly key?: KeyObject;
  readonly contentType?: string;
  readonly method?: string;
  readonly raw?: string;
  readonly sentTo?: string;
};

export type AcmeClient = Awaited<ReturnType<typeof makeAcmeClient>>;

/** A client that does what it is told, right or wrong, with one P-256 account key. */
export async function makeAcmeClient(base: string, rootFile: string, privateKey: KeyObject = newKey()) {
  const ca = readFileSync(rootFile, 'utf8');
  let key = privateKey;
  let kid: string | null = null;
  const nonces: string[] = [];
  const send = (
    method: string,
    url: string,
    body: string | null,
    headers: { readonly [name: string]: string } = {},
  ): Promise<AcmeReply> => {
    const { promise, resolve, reject } = Promise.withResolvers<AcmeReply>();
    const outgoing = request(url, { method, ca, headers, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        const isJson = /json/.test(response.headers['content-type'] ?? '') && text !== '';
        const nonce = response.headers['replay-nonce'];
        if (typeof nonce === 'string') nonces.push(nonce);
        resolve({ status: response.statusCode!, headers: response.headers, text, json: isJson ? JSON.parse(text) : null });
      });
      response.on('error', reject);
    });
    outgoing.on('error', reject);
    outgoing.end(body ?? undefined);
    return promise;
  };
  const nonce = async (): Promise<string> => {
    if (nonces.length === 0) await send('HEAD', `${base}/acme/new-nonce`, null);
    return nonces.shift()!;
  };
  /** `payload` null: POST-as-GET. Signed by kid once there is an account, by jwk before. */
  const post = async (url: string, payload: unknown, bend: Bend = {}): Promise<AcmeReply> => {
    const signer = bend.key ?? key;
    const header: { [name: string]: unknown } = {
      alg: 'ES256',
      nonce: await nonce(),
      url,
      ...(kid === null || bend.key !== undefined ? { jwk: jwkOf(signer) } : { kid }),
      ...bend.header,
    };
    for (const name of bend.without ?? []) delete header[name];
    const body = bend.raw ?? JSON.stringify(signJws(signer, header, payload));
    return send(bend.method ?? 'POST', bend.sentTo ?? url, body, { 'content-type': bend.contentType ?? 'application/jose+json' });
  };
  const at = (path: string): string => `${base}/acme/${path}`;
  return {
    at,
    post,
    send,
    nonce,
    nonces,
    key: () => key,
    jwk: () => jwkOf(key),
    thumbprint: () => thumbprintOf(key),
    useKey: (next: KeyObject) => void (key = next),
    kid: () => kid!,
    register: async (payload: object = {}): Promise<AcmeReply> => {
      const reply = await post(at('new-account'), payload);
      if (reply.status < 300) kid = String(reply.headers['location']);
      return reply;
    },
    order: (names: readonly string[], more: object = {}): Promise<AcmeReply> =>
      post(at('new-order'), { identifiers: names.map(identifierOf), ...more }),
    csr: (fields: RequestFields, certificateKey: KeyObject = newKey()): string =>
      Buffer.from(buildCertificateRequest(fields, certificateKey)).toString('base64url'),
  };
}

export function encodeJson(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

export function signJws(key: KeyObject, header: object, payload: unknown) {
  const head = encodeJson(header);
  const body = payload === null ? '' : encodeJson(payload);
  const signature = sign('sha256', Buffer.from(`${head}.${body}`), { key, dsaEncoding: 'ieee-p1363' });
  return { protected: head, payload: body, signature: signature.toString('base64url') };
}

export function newKey(): KeyObject {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
}

export function jwkOf(key: KeyObject): { readonly [name: string]: string } {
  const { crv, kty, x, y } = createPublicKey(key).export({ format: 'jwk' });
  return { crv: crv!, kty: kty!, x: x!, y: y! };
}

export function thumbprintOf(key: KeyObject): string {
  return createHash('sha256')
    .update(JSON.stringify(jwkOf(key)))
    .digest('base64url');
}

function identifierOf(value: string): { readonly type: string; readonly value: string } {
  return { type: /^[0-9.]+$|:/.test(value) ? 'ip' : 'dns', value };
}
