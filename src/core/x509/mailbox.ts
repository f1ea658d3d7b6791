import { contextConstructed, DerReader, tags } from './der.ts';
import { readOid } from './oid.ts';

/** A mail address: the local part without quotes, which keeps its case, and the host in lower case (RFC 5280 section 7.5). */
export type Mailbox = { readonly local: string; readonly host: string };

/**
 * `Mailbox` of RFC 5321 section 4.1.2 with a host name of A-labels; null for everything else, address literals among it. Characters above
 * ASCII belong to the local part alone, and only where `international` (RFC 9598 section 3).
 */
export function parseMailbox(text: string, international = false): Mailbox | null {
  const at = text.lastIndexOf('@');
  const local = text.slice(0, at);
  const host = text.slice(at + 1).toLowerCase();
  if (at < 1 || local.length > MAX_LOCAL || host.length > MAX_HOST || !HOST.test(host)) return null;
  // Quoted or not it is the same mailbox (RFC 5321 section 4.1.2), which an exclusion must not be evaded by.
  if (local.startsWith('"')) return QUOTED.test(local) ? { local: local.slice(1, -1).replaceAll(/\\(.)/g, '$1'), host } : null;
  return (international ? INTERNATIONAL_ATOMS : ATOMS).test(local) ? { local, host } : null;
}

/**
 * The text of an otherName that is a SmtpUTF8Mailbox (RFC 9598 section 3), null for an otherName of another type; of one that is malformed
 * the empty text, which is no mailbox.
 */
export function readSmtpUtf8Mailbox(otherName: Uint8Array): string | null {
  try {
    const reader = DerReader.over(otherName);
    const body = reader.enter(contextConstructed(0));
    if (readOid(body) !== SMTP_UTF8_MAILBOX) return null;
    const value = body.enter(contextConstructed(0));
    body.finish();
    const octets = value.content(tags.utf8String);
    value.finish();
    return utf8.decode(octets);
  } catch {
    return '';
  }
}

/** A host name of any labels: underscores and the like do occur and must not escape a constraint. */
export const HOST = /^[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*$/;
const ATOMS = /^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*$/;
const INTERNATIONAL_ATOMS = /^[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u0080-\u{10ffff}-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u0080-\u{10ffff}-]+)*$/u;
const QUOTED = /^"(?:[ !#-[\]-~]|\\[ -~])*"$/;
const MAX_LOCAL = 256;
const MAX_HOST = 253;
const SMTP_UTF8_MAILBOX = '1.3.6.1.5.5.7.8.9';
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
