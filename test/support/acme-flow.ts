import assert from 'node:assert/strict';
import { type KeyObject } from 'node:crypto';
import type { AcmeClient, AcmeReply } from './acme-client.ts';
import type { AcmeLab } from './acme-lab.ts';

/** Lays out what http-01 asks for and posts the challenge of each pending authorization; waits until none is pending. */
export async function proveAll(lab: AcmeLab, client: AcmeClient, order: AcmeReply): Promise<void> {
  for (const url of order.json.authorizations as string[]) {
    const { json } = await client.post(url, null);
    if (json.status !== 'pending') continue;
    const challenge = challengeOf(json, 'http-01');
    lab.answers.set(`/.well-known/acme-challenge/${challenge.token}`, `${challenge.token}.${client.thumbprint()}`);
    assert.equal((await client.post(challenge.url, {})).status, 200);
    await settled(client, url);
  }
}

/** The authorization when it is not pending any more. */
export async function settled(client: AcmeClient, url: string): Promise<any> {
  for (let tries = 0; tries < 200; tries++) {
    const { json } = await client.post(url, null);
    if (json.status !== 'pending') return json;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`${url} stays pending`);
}

export function challengeOf(authorization: any, type: string): { readonly url: string; readonly token: string; readonly status: string } {
  return authorization.challenges.find((challenge: { readonly type: string }) => challenge.type === type);
}

/** Orders, proves, finalizes; the valid order. */
export async function obtain(
  lab: AcmeLab,
  client: AcmeClient,
  names: readonly string[],
  options: { readonly key?: KeyObject; readonly more?: object } = {},
): Promise<AcmeReply & { readonly url: string }> {
  const order = await client.order(names, options.more);
  assert.equal(order.status, 201, order.text);
  await proveAll(lab, client, order);
  const ip = names.filter((name) => /^[0-9.]+$|:/.test(name));
  const csr = client.csr({ dnsNames: names.filter((name) => !ip.includes(name)), ipAddresses: ip }, options.key);
  const url = String(order.headers['location']);
  const done = await finished(client, url, await client.post(order.json.finalize, { csr }));
  assert.equal(done.status, 200, done.text);
  assert.equal(done.json.status, 'valid', done.text);
  return { ...done, url };
}

/** The order when it is not processing any more: on a slow machine finalize answers before the certificate is there (RFC 8555 section 7.4). */
async function finished(client: AcmeClient, url: string, first: AcmeReply): Promise<AcmeReply> {
  let reply = first;
  for (let tries = 0; reply.json.status === 'processing' && tries < 400; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 25));
    reply = await client.post(url, null);
  }
  return reply;
}
