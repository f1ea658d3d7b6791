import { randomInt } from 'node:crypto';
import { nameOfSignatureError, signMessage, verifyAnswer } from '../../core/dns/transaction-signature.ts';
import { buildTxtUpdate, nameOfRcode, readUpdateAnswer, type TxtUpdate } from '../../core/dns/update-message.ts';
import { SECOND_MS } from '../../core/time/instant.ts';
import { AcmeFailure } from '../../platform/acme/acme-failure.ts';
import { pause } from '../../platform/clock/pause.ts';
import { exchangeDns } from '../../platform/network/exchange-dns.ts';
import type { DnsUpdate, ExternalAuthorityRecord } from './external-authority.ts';
import type { ExternalDeps } from './open-session.ts';
import { openDnsKey } from './dns-key.ts';

/** Has the record added or taken out, and waits until the zone's other servers have one that was added. @throws AcmeFailure */
export async function updateRecord(
  deps: ExternalDeps,
  { authority, update }: { readonly authority: ExternalAuthorityRecord; readonly update: DnsUpdate },
  { action, name, value }: Pick<TxtUpdate, 'action' | 'name' | 'value'>,
): Promise<void> {
  const { host, port, keyName, algorithm, settleSeconds } = update;
  const zone = zoneOf(update, name);
  if (zone === null) throw new AcmeFailure('refused', 'dns-update', `${name} is in none of the declared zones`);
  const secret = await openDnsKey(deps, authority.id);
  if (secret === null) throw new AcmeFailure('refused', 'dns-update', 'no key is stored');
  const key = { name: keyName, algorithm, secret };
  const id = randomInt(65_536);
  const request = signMessage(deps.clock.now(), buildTxtUpdate(id, { action, zone, name, value, ttlSeconds: TTL_SECONDS }), key);
  const sent = await exchangeDns(deps, { host, port, message: request.message, timeoutMs: TIMEOUT_MS });
  if (sent.kind === 'failed') throw new AcmeFailure('deferred', 'dns-update', `${sent.stage}: ${sent.detail}`);
  const rcode = readUpdateAnswer(sent.answer, id);
  const verdict = verifyAnswer(deps.clock.now(), sent.answer, request, key);
  // Servers sign no answer to a key that they do not know.
  if (verdict.kind === 'forged')
    throw new AcmeFailure(
      'deferred',
      'dns-update',
      `the answer is not genuine: ${verdict.reason}${rcode === null ? '' : ` (${nameOfRcode(rcode)})`}`,
    );
  if (verdict.error !== 0) throw new AcmeFailure('deferred', 'dns-update', nameOfSignatureError(verdict.error));
  if (rcode !== 0) throw new AcmeFailure('deferred', 'dns-update', rcode === null ? 'the answer is to something else' : nameOfRcode(rcode));
  if (action === 'present') await pause(settleSeconds * SECOND_MS, new AbortController().signal);
}

/** The longest of the declared zones that the name lies in. */
export function zoneOf({ zones }: Pick<DnsUpdate, 'zones'>, name: string): string | null {
  const above = zones.filter((zone) => name === zone || name.endsWith(`.${zone}`));
  return above.toSorted((a, b) => b.length - a.length)[0] ?? null;
}

/** A primary answers once its journal has it. */
const TIMEOUT_MS = 20_000;
/** Long enough for a CA to ask from several places, short enough that a value of yesterday misleads nobody. */
const TTL_SECONDS = 60;
