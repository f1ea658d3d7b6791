import { parseDnsPattern } from '../../core/identity/dns-name.ts';
import { parseIpAddress } from '../../core/identity/ip-address.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import { AcmeFailure, boundedText, readProblem } from './acme-failure.ts';

/** What a CA says of itself (RFC 8555 section 7.1.1, RFC 9773 section 3). */
export type AcmeDirectory = {
  readonly newNonce: string;
  readonly newAccount: string;
  readonly newOrder: string;
  readonly revokeCert: string;
  readonly renewalInfo: string | null;
  readonly termsOfService: string | null;
  readonly externalAccountRequired: boolean;
  readonly profiles: readonly string[];
};

export type AcmeIdentifier = { readonly type: 'dns' | 'ip'; readonly value: string };

/** RFC 8555 section 7.1.3. */
export type AcmeOrder = {
  readonly status: 'pending' | 'ready' | 'processing' | 'valid' | 'invalid';
  readonly identifiers: readonly AcmeIdentifier[];
  readonly authorizations: readonly string[];
  readonly finalize: string;
  readonly certificate: string | null;
  readonly error: string | null;
};

export type AcmeChallenge = {
  readonly type: string;
  readonly url: string;
  readonly status: string;
  readonly token: string | null;
  readonly error: string | null;
};

/** RFC 8555 section 7.1.4. */
export type AcmeAuthorization = {
  readonly status: 'pending' | 'valid' | 'invalid' | 'deactivated' | 'expired' | 'revoked';
  readonly identifier: AcmeIdentifier;
  readonly challenges: readonly AcmeChallenge[];
};

/** RFC 9773 section 4.2. */
export type RenewalWindow = { readonly start: Instant; readonly end: Instant };

export function readDirectory(value: unknown, origin: string): AcmeDirectory {
  const fields = fieldsOf(value, 'directory');
  const meta = typeof fields['meta'] === 'object' && fields['meta'] !== null ? (fields['meta'] as Fields) : {};
  const profiles = typeof meta['profiles'] === 'object' && meta['profiles'] !== null ? Object.keys(meta['profiles']).slice(0, 100) : [];
  return {
    newNonce: readUrl(fields['newNonce'], origin),
    newAccount: readUrl(fields['newAccount'], origin),
    newOrder: readUrl(fields['newOrder'], origin),
    revokeCert: readUrl(fields['revokeCert'], origin),
    renewalInfo: fields['renewalInfo'] === undefined ? null : readUrl(fields['renewalInfo'], origin),
    termsOfService: typeof meta['termsOfService'] === 'string' ? boundedText(meta['termsOfService'], 500) : null,
    externalAccountRequired: meta['externalAccountRequired'] === true,
    profiles,
  };
}

export function readOrder(value: unknown, origin: string): AcmeOrder {
  const fields = fieldsOf(value, 'order');
  return {
    status: word(fields['status'], ['pending', 'ready', 'processing', 'valid', 'invalid']),
    identifiers: list(fields['identifiers']).map(readIdentifier),
    authorizations: list(fields['authorizations']).map((url) => readUrl(url, origin)),
    finalize: readUrl(fields['finalize'], origin),
    certificate: fields['certificate'] === undefined ? null : readUrl(fields['certificate'], origin),
    error: fields['error'] === undefined ? null : problemLine(fields['error']),
  };
}

export function readAuthorization(value: unknown, origin: string): AcmeAuthorization {
  const fields = fieldsOf(value, 'authorization');
  return {
    status: word(fields['status'], ['pending', 'valid', 'invalid', 'deactivated', 'expired', 'revoked']),
    identifier: readIdentifier(fields['identifier']),
    challenges: list(fields['challenges']).map((challenge) => readChallenge(challenge, origin)),
  };
}

export function readRenewalWindow(value: unknown): RenewalWindow {
  const window = fieldsOf(fieldsOf(value, 'renewal information')['suggestedWindow'], 'suggested window');
  const [start, end] = [window['start'], window['end']].map((text) => (typeof text === 'string' ? Date.parse(text) : Number.NaN));
  // RFC 9773 section 4.2: a window that ends before it begins is as none.
  if (!Number.isSafeInteger(start) || !Number.isSafeInteger(end) || end! <= start!) throw malformedAnswer('the suggested window is none');
  return { start: start!, end: end! };
}

function readChallenge(value: unknown, origin: string): AcmeChallenge {
  const fields = fieldsOf(value, 'challenge');
  const { token } = fields;
  // RFC 8555 section 8.3: base64url, 128 bits at least. It becomes part of a path and of a record.
  const isToken = typeof token === 'string' && /^[A-Za-z0-9_-]{22,200}$/.test(token);
  return {
    type: boundedText(fields['type'], 60),
    url: readUrl(fields['url'], origin),
    status: boundedText(fields['status'], 20),
    token: isToken ? token : null,
    error: fields['error'] === undefined ? null : problemLine(fields['error']),
  };
}

function readIdentifier(value: unknown): AcmeIdentifier {
  const fields = fieldsOf(value, 'identifier');
  const type = word(fields['type'], ['dns', 'ip']);
  const text = boundedText(fields['value'], 253);
  try {
    return { type, value: type === 'dns' ? parseDnsPattern(text) : parseIpAddress(text) };
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    throw malformedAnswer(`an identifier is none: ${error.message}`);
  }
}

type Fields = { readonly [name: string]: unknown };

function fieldsOf(value: unknown, what: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformedAnswer(`the ${what} is no object`);
  return value as Fields;
}

/** What it names next must lie where it lies itself: a directory that was swapped leads nowhere else. */
function readUrl(value: unknown, origin: string): string {
  const url = typeof value === 'string' && value.length <= MAXIMUM_URL && URL.canParse(value) ? new URL(value) : null;
  if (url === null || url.origin !== origin || url.username !== '') throw malformedAnswer(`a URL is none of ${origin}`);
  return url.href;
}

function list(value: unknown): readonly unknown[] {
  if (!Array.isArray(value) || value.length > MAXIMUM_ITEMS) throw malformedAnswer('a list is none, or too long');
  return value as readonly unknown[];
}

function word<const Words extends readonly string[]>(value: unknown, words: Words): Words[number] {
  const found = words.find((known) => known === value);
  if (found === undefined) throw malformedAnswer(`${JSON.stringify(boundedText(value, 40))} is none of ${words.join(', ')}`);
  return found;
}

function problemLine(value: unknown): string {
  const { type, detail } = readProblem(value);
  return `${type}: ${detail}`;
}

/** An answer that is not as the RFC says may be a fault that passes. */
export function malformedAnswer(what: string): AcmeFailure {
  return new AcmeFailure('deferred', 'malformedAnswer', what);
}

const MAXIMUM_URL = 2_000;
const MAXIMUM_ITEMS = 200;
