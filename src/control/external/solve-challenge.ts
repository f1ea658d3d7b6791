import { createHash } from 'node:crypto';
import { AcmeFailure } from '../../platform/acme/acme-failure.ts';
import type { AcmeAuthorization, AcmeChallenge } from '../../platform/acme/acme-resources.ts';
import { type AcmeAccountKey, keyAuthorizationOf } from '../../platform/acme/sign-jws.ts';
import { sendOutside } from '../../platform/network/send-outside.ts';
import { updateRecord } from './dns-update.ts';
import { type DnsWebhook, dnsUpdateOf, type ExternalAuthorityRecord, webhookOf } from './external-authority.ts';
import type { ExternalOrder } from './external-order.ts';
import type { ExternalDeps } from './open-session.ts';
import { openWebhookToken } from './webhook-token.ts';
import { insertChallengeAnswer } from './order-store.ts';

/** A record that was presented, to be removed. */
export type PresentedRecord = { readonly name: string; readonly value: string };

/** Makes the answer of the challenge findable, and says which challenge to tell the CA of. Safe to repeat. @throws AcmeFailure */
export async function presentAnswer(
  deps: ExternalDeps,
  { authority, order, key }: { readonly authority: ExternalAuthorityRecord; readonly order: ExternalOrder; readonly key: AcmeAccountKey },
  { identifier, challenges }: AcmeAuthorization,
): Promise<{ readonly challenge: AcmeChallenge; readonly record: PresentedRecord | null }> {
  const how = authority.settings.challenge;
  const challenge = challenges.find(({ type }) => type === how.kind);
  if (challenge === undefined || challenge.token === null) {
    throw new AcmeFailure('refused', 'unsupportedChallenge', `the CA offers no ${how.kind} for ${identifier.value}`);
  }
  const answer = keyAuthorizationOf(key, challenge.token);
  if (how.kind === 'http-01') {
    const row = { token: challenge.token, order_id: order.id, answer };
    await deps.database.commit((unit) => insertChallengeAnswer(unit.queries, row));
    return { challenge, record: null };
  }
  // RFC 8555 section 8.4.
  const record = {
    name: `_acme-challenge.${identifier.value.replace(/^\*\./, '')}`,
    value: createHash('sha256').update(answer).digest('base64url'),
  };
  await setRecord(deps, authority, { action: 'present', ...record });
  return { challenge, record };
}

/** Takes a record away again. @throws AcmeFailure */
export async function removeRecord(deps: ExternalDeps, authority: ExternalAuthorityRecord, record: PresentedRecord): Promise<void> {
  if (authority.settings.challenge.kind === 'dns-01') await setRecord(deps, authority, { action: 'remove', ...record });
}

async function setRecord(
  deps: ExternalDeps,
  authority: ExternalAuthorityRecord,
  message: PresentedRecord & { readonly action: 'present' | 'remove' },
): Promise<void> {
  const [webhook, update] = [webhookOf(authority.settings), dnsUpdateOf(authority.settings)];
  if (webhook !== null) await callWebhook(deps, { authority, webhook }, message);
  if (update !== null) await updateRecord(deps, { authority, update }, message);
}

async function callWebhook(
  deps: ExternalDeps,
  { authority, webhook }: { readonly authority: ExternalAuthorityRecord; readonly webhook: DnsWebhook },
  message: PresentedRecord & { readonly action: 'present' | 'remove' },
): Promise<void> {
  const { url, anchorsPem } = webhook;
  const bearer = await openWebhookToken(deps, authority.id);
  const sent = await sendOutside(deps, {
    method: 'POST',
    url,
    contentType: 'application/json',
    body: JSON.stringify(message),
    anchorsPem,
    ...(bearer === null ? {} : { bearer }),
    timeoutMs: WEBHOOK_TIMEOUT_MS,
    maximumOctets: 4_096,
  });
  if (sent.kind === 'failed') throw new AcmeFailure('deferred', 'webhook', `${sent.stage}: ${sent.detail}`);
  if (sent.status < 200 || sent.status > 299) throw new AcmeFailure('deferred', 'webhook', `HTTP status ${sent.status}`);
}

/** It answers when the record is served: DNS providers take a minute. Shorter than the lease of an order. */
const WEBHOOK_TIMEOUT_MS = 120_000;
