import { isIP } from 'node:net';
import type { EntityId } from '../../core/ids/entity-id.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import { parseDnsName, parseDnsPattern } from '../../core/identity/dns-name.ts';
import { parseIpAddress } from '../../core/identity/ip-address.ts';
import type { ProfileName } from '../../core/issuance/profile.ts';
import type { SignatureAlgorithm } from '../../core/dns/transaction-signature.ts';
import { encodeDomainName } from '../../core/dns/domain-name.ts';
import { decodePem } from '../../core/x509/pem.ts';
import { parseCertificate } from '../../core/x509/certificate.ts';

/** A server of ours that presents and removes TXT records; a bearer token for it is stored apart, encrypted. */
export type DnsWebhook = { readonly url: string; readonly anchorsPem: string | null };

/** A primary server of ours that takes updates (RFC 2136) signed by a key (TSIG, RFC 8945); the key itself is stored apart, encrypted. */
export type DnsUpdate = {
  /** Name or address. */
  readonly host: string;
  readonly port: number;
  /** Zones that it is the primary of and that the key may change. The longest that a record lies in is the one that is updated. */
  readonly zones: readonly string[];
  readonly keyName: string;
  readonly algorithm: SignatureAlgorithm;
  /** How long the other servers of the zone take to have it too. */
  readonly settleSeconds: number;
};

/** How control of a name is shown. dns-01 by a webhook, which is told which TXT record to present and to remove, or by updates of the zone itself. */
export type ExternalChallenge =
  | { readonly kind: 'http-01' }
  | { readonly kind: 'dns-01'; readonly webhook: DnsWebhook }
  | { readonly kind: 'dns-01'; readonly update: DnsUpdate };

/** The webhook that records are presented by, or null. */
export function webhookOf({ challenge }: Pick<ExternalAuthoritySettings, 'challenge'>): DnsWebhook | null {
  return 'webhook' in challenge ? challenge.webhook : null;
}

/** The server whose zones are updated, or null. */
export function dnsUpdateOf({ challenge }: Pick<ExternalAuthoritySettings, 'challenge'>): DnsUpdate | null {
  return 'update' in challenge ? challenge.update : null;
}

/** Somebody else's CA that is asked by ACME (RFC 8555), as it was declared. */
export type ExternalAuthoritySettings = {
  readonly directoryUrl: string;
  /** PEM of the anchors of the CA's HTTPS; null: those that Node carries. */
  readonly anchorsPem: string | null;
  /** PEM of the roots that its certificates must lead to; null: those that Node carries. */
  readonly rootsPem: string | null;
  readonly contacts: readonly string[];
  /** Key id of the external account binding; its MAC key is stored apart, encrypted. */
  readonly bindingKeyId: string | null;
  readonly challenge: ExternalChallenge;
  /** Patterns as `api.acme.example`, `*.acme.example` (one label, or that wildcard itself), and addresses. Nothing else may be asked for. */
  readonly allowedNames: readonly string[];
  /** Profiles under which it may be asked: who may, for what and with whose approval, they say. */
  readonly judgedBy: readonly ProfileName[];
  /** RFC draft-ietf-acme-profiles; null: the CA's choice. */
  readonly profile: string | null;
  /** Common name of a root or intermediate of the chain that is taken where the CA offers several. */
  readonly preferredChain: string | null;
};

export type ExternalAuthorityRecord = {
  readonly id: EntityId<'authority'>;
  readonly environment: string;
  readonly region: string;
  readonly name: string;
  readonly settings: ExternalAuthoritySettings;
  readonly accountUrl: string | null;
  readonly updatedAt: Instant;
};

/** Checks what no schema says. @throws input-invalid, identity-malformed, der-malformed */
export function parseExternalSettings(settings: ExternalAuthoritySettings): ExternalAuthoritySettings {
  requireHttps('directoryUrl', settings.directoryUrl);
  const [webhook, update] = [webhookOf(settings), dnsUpdateOf(settings)];
  if (webhook !== null) requireHttps('webhook.url', webhook.url);
  const anchors = [settings.anchorsPem, settings.rootsPem, webhook?.anchorsPem ?? null];
  for (const pem of anchors) {
    if (pem === null) continue;
    const found = decodePem(pem, 'CERTIFICATE');
    if (found.length === 0 || found.length > MAXIMUM_ANCHORS) {
      throw new Problem('input-invalid', `Cannot declare authority: ${found.length} anchors, expected 1 to ${MAXIMUM_ANCHORS} as PEM`);
    }
    for (const der of found) parseCertificate(der);
  }
  return {
    ...settings,
    challenge: update === null ? settings.challenge : { kind: 'dns-01', update: parseDnsUpdate(update) },
    allowedNames: settings.allowedNames.map((name) => (isIP(name) === 0 ? parseDnsPattern(name) : parseIpAddress(name))),
  };
}

/** @throws identity-malformed */
function parseDnsUpdate(update: DnsUpdate): DnsUpdate {
  encodeDomainName(update.keyName);
  const host = isIP(update.host) === 0 ? parseDnsName(update.host) : parseIpAddress(update.host);
  return { ...update, host, keyName: update.keyName.toLowerCase(), zones: update.zones.map((zone) => parseDnsName(zone)) };
}

function requireHttps(field: string, text: string): void {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || url.protocol !== 'https:' || url.username !== '' || url.hash !== '') {
    throw new Problem(
      'input-invalid',
      `Cannot declare authority: ${field} is ${JSON.stringify(text.slice(0, 200))}, expected an https URL`,
    );
  }
}

const MAXIMUM_ANCHORS = 20;
