import { parseIpAddress } from '../identity/ip-address.ts';
import { profileNamePattern } from '../issuance/profile-spec.ts';
import type { ProfileName } from '../issuance/profile.ts';
import { Problem } from '../problems/problem.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from '../time/instant.ts';
import { type ClaimPattern, matchesEverything } from './claim-pattern.ts';
import { type IdentityProvider, tokenDoors, type TrustRule } from './identity-provider.ts';
import { isKeyUri, readAnchors } from './key-source.ts';
import { parseNameTemplate } from './name-template.ts';

/** Reads the fields of an IdentityProvider declaration; rules that name no environment are of this one. @throws input-invalid naming the field */
export function parseIdentityProvider(input: unknown, environment: string): IdentityProvider {
  const spec = readObject('the document', input, ['issuer', 'audience', 'jwksUri', 'anchorsPem', 'maxTokenLifetimeMs', 'rules']);
  const rules = readList('rules', spec['rules'], 1, MAXIMUM_RULES).map((rule, index) => readRule(`rules[${index}]`, rule, environment));
  const names = rules.map(({ name }) => name);
  if (new Set(names).size < names.length) throw invalid('rules', names, 'a name of its own for each');
  return {
    issuer: readUrl('issuer', spec['issuer']),
    audience: readText('audience', spec['audience']),
    jwksUri: spec['jwksUri'] === undefined ? null : readUrl('jwksUri', spec['jwksUri']),
    anchorsPem: spec['anchorsPem'] === undefined ? null : readAnchorsPem(spec['anchorsPem']),
    maxTokenLifetimeMs: readNumber('maxTokenLifetimeMs', spec['maxTokenLifetimeMs'], [MINUTE_MS, 7 * DAY_MS], DAY_MS),
    rules,
  };
}

function readRule(field: string, input: unknown, environment: string): TrustRule {
  const rule = readObject(field, input, RULE_FIELDS);
  const match = readMatch(`${field}.match`, rule['match']);
  const doors = readWords(`${field}.doors`, rule['doors'] ?? ['rest'], tokenDoors);
  const spiffeId = rule['spiffeId'] === undefined ? null : readTemplate(`${field}.spiffeId`, rule['spiffeId']);
  if (doors.includes('join') && spiffeId === null) throw invalid(`${field}.spiffeId`, null, 'a SPIFFE ID to join as');
  const maxLifetimeMs = readNumber(`${field}.maxLifetimeMs`, rule['maxLifetimeMs'], [MINUTE_MS, 400 * DAY_MS], HOUR_MS);
  if (doors.includes('external') && maxLifetimeMs < SHORTEST_OF_OTHERS_MS)
    throw invalid(
      `${field}.maxLifetimeMs`,
      maxLifetimeMs,
      `at least ${SHORTEST_OF_OTHERS_MS} with the door external: the other CA chooses the life`,
    );
  return {
    name: readMatching(`${field}.name`, rule['name'], /^[a-z0-9][a-z0-9._-]{0,62}$/, 'a name of [a-z0-9._-], at most 63'),
    match,
    environment: readMatching(`${field}.environment`, rule['environment'] ?? environment, /^[a-z0-9][a-z0-9-]{0,62}$/, 'an environment'),
    doors,
    profiles: readList(`${field}.profiles`, rule['profiles'], 1, MAXIMUM_NAMES).map(
      (name) => readMatching(`${field}.profiles`, name, profileNamePattern, 'names of profiles') as ProfileName,
    ),
    spiffeId,
    dnsNames: readList(`${field}.dnsNames`, rule['dnsNames'] ?? [], 0, MAXIMUM_NAMES).map((name) =>
      readTemplate(`${field}.dnsNames`, name),
    ),
    ipAddresses: readList(`${field}.ipAddresses`, rule['ipAddresses'] ?? [], 0, MAXIMUM_NAMES).map((address) =>
      parseIpAddress(readText(`${field}.ipAddresses`, address)),
    ),
    proxy: rule['proxy'] === undefined ? null : readTemplate(`${field}.proxy`, rule['proxy']),
    maxLifetimeMs,
    singleUse: readFlag(`${field}.singleUse`, rule['singleUse'] ?? true),
  };
}

/** A rule that everybody fits would trust every repository of a public issuer, so at least one pattern must tell some from others. */
function readMatch(field: string, input: unknown): TrustRule['match'] {
  const table = readObject(field, input, null);
  const match = Object.entries(table).map(([claim, value]) => {
    if (!/^[^\s{}]{1,200}$/.test(claim)) throw invalid(field, claim, 'names of claims');
    return { claim, pattern: readPattern(`${field}.${claim}`, value) };
  });
  const tells = match.some(({ claim, pattern }) => !matchesEverything(pattern) && !['iss', 'aud'].includes(claim));
  if (!tells || match.length > MAXIMUM_NAMES)
    throw invalid(field, table, 'at least one claim besides iss and aud, and a pattern that not everybody fits');
  return match;
}

function readPattern(field: string, value: unknown): ClaimPattern {
  if (Array.isArray(value)) {
    return { kind: 'list', values: readList(field, value, 1, MAXIMUM_NAMES).map((item) => readScalar(field, item)) };
  }
  if (typeof value !== 'object' || value === null) return { kind: 'exact', value: readScalar(field, value) };
  return { kind: 'glob', glob: readText(field, readObject(field, value, ['glob'])['glob']) };
}

function readScalar(field: string, value: unknown): string {
  if (typeof value === 'boolean' || Number.isSafeInteger(value)) return String(value);
  return readText(field, value);
}

function readUrl(field: string, value: unknown): string {
  const text = readText(field, value);
  if (!isKeyUri(text)) throw invalid(field, text, 'an https URL without credentials, query and fragment');
  return text;
}

function readAnchorsPem(value: unknown): string {
  const anchors = typeof value === 'string' ? readAnchors(value) : null;
  if (anchors === null) throw invalid('anchorsPem', String(value).slice(0, 40), 'certificates as PEM');
  return anchors;
}

function readTemplate(field: string, value: unknown): string {
  const text = readText(field, value);
  parseNameTemplate(text);
  return text;
}

function readMatching(field: string, value: unknown, pattern: RegExp, expected: string): string {
  if (typeof value !== 'string' || !pattern.test(value)) throw invalid(field, value, expected);
  return value;
}

function readText(field: string, value: unknown): string {
  return readMatching(field, value, /^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]{1,500}$/u, 'text of 1 to 500 characters');
}

function readFlag(field: string, value: unknown): boolean {
  if (typeof value !== 'boolean') throw invalid(field, value, 'true or false');
  return value;
}

function readNumber(field: string, value: unknown, [low, high]: readonly [number, number], otherwise: number): number {
  const number = value ?? otherwise;
  if (typeof number !== 'number' || !Number.isInteger(number) || number < low || number > high || number % SECOND_MS !== 0) {
    throw invalid(field, number, `whole seconds in ms, from ${low} to ${high}`);
  }
  return number;
}

function readWords<Word extends string>(field: string, value: unknown, words: readonly Word[]): readonly Word[] {
  return [...new Set(readList(field, value, 1, words.length))].map((item) => {
    const word = words.find((known) => known === item);
    if (word === undefined) throw invalid(field, item, words.join(', '));
    return word;
  });
}

function readList(field: string, value: unknown, low: number, high: number): readonly unknown[] {
  if (!Array.isArray(value) || value.length < low || value.length > high) throw invalid(field, value, `a list of ${low} to ${high}`);
  return value as readonly unknown[];
}

function readObject(field: string, value: unknown, keys: readonly string[] | null): { readonly [key: string]: unknown } {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(field, value, 'keys and values');
  for (const key of Object.keys(value)) if (keys !== null && !keys.includes(key)) throw invalid(field, key, `only ${keys.join(', ')}`);
  return value as { readonly [key: string]: unknown };
}

function invalid(field: string, value: unknown, expected: string): Problem {
  const held = String(JSON.stringify(value)).slice(0, 100);
  return new Problem('input-invalid', `Cannot read identity provider: ${field} holds ${held}, expected ${expected}`);
}

const RULE_FIELDS = [
  'name', 'match', 'environment', 'doors', 'profiles', 'spiffeId', 'dnsNames', 'ipAddresses', 'proxy', 'maxLifetimeMs', 'singleUse',
]; // prettier-ignore
/** No public CA gives less, and what is too long is found out only when it is there. */
const SHORTEST_OF_OTHERS_MS = DAY_MS;
const MAXIMUM_RULES = 200;
const MAXIMUM_NAMES = 50;
