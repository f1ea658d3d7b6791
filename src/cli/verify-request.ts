import { domainToASCII } from 'node:url';
import { parseDnsName } from '../core/identity/dns-name.ts';
import { parseIpAddress } from '../core/identity/ip-address.ts';
import { Problem } from '../core/problems/problem.ts';
import type { Instant } from '../core/time/instant.ts';
import { type KeyUsageBit, keyUsageBits } from '../core/x509/extensions.ts';
import type { PolicyDemands } from '../core/x509/judge-policies.ts';
import { parseMailbox } from '../core/x509/mailbox.ts';
import { oids } from '../core/x509/oid.ts';
import type { ReferenceIdentity } from '../core/x509/service-identity.ts';

/** What one verification is about, before its certificates are parsed. */
export type VerifyRequest = {
  /** PEM texts, each of one or more certificates. */
  readonly trusted: readonly string[];
  readonly intermediates: readonly string[];
  readonly leaf: string;
  /** Null: now. */
  readonly time: Instant | null;
  /** All of them have to be presented; empty: no name is looked at. */
  readonly names: readonly ReferenceIdentity[];
  /** Dotted identifiers. */
  readonly purposes: readonly string[];
  readonly keyUsage: readonly KeyUsageBit[];
  readonly maxDepth: number | null;
  /** PEM texts; empty: no revocation status is asked for. */
  readonly lists: readonly string[];
  readonly policies: PolicyDemands;
  readonly conformance: 'validation' | 'profile';
};

/**
 * Reads the object of one line. Names of fields count without regard to case, underscores and hyphens; null is an absent field; fields
 * that are not known are passed over.
 * @throws input-invalid
 */
export function readVerifyRequest(value: unknown): VerifyRequest {
  const fields = fieldsOf(value, 'the line');
  const name = fields.get('name');
  return {
    trusted: readTexts(fields, 'trusted'),
    intermediates: readTexts(fields, 'intermediates'),
    leaf: readLeaf(fields.get('leaf')),
    time: readMoment(fields.get('time')),
    names: (Array.isArray(name) ? name : name === undefined ? [] : [name]).map(readIdentity),
    purposes: readTexts(fields, 'extendedkeyusage')
      .map(readPurpose)
      .filter((purpose) => purpose !== oids.anyExtendedKeyUsage),
    keyUsage: readTexts(fields, 'keyusage').map(readKeyUsage),
    maxDepth: readDepth(fields.get('maxdepth')),
    lists: readTexts(fields, 'crls'),
    policies: readPolicyDemands(fields.get('policies')),
    conformance: readConformance(fields.get('conformance')),
  };
}

/** ISO 8601 (UTC where no zone is given) or seconds since 1970. @throws input-invalid */
export function readMoment(value: unknown): Instant | null {
  if (value === undefined || value === '') return null;
  const seconds = typeof value === 'string' && /^-?\d+(?:\.\d+)?$/.test(value) && value.length > 4 ? Number(value) : value;
  if (typeof seconds === 'number') return Math.floor(seconds * 1000);
  const match = typeof value === 'string' ? ISO_TIME.exec(value.trim()) : null;
  const [, date = '', time = '00:00:00', zone = 'Z'] = match ?? [];
  const at = match ? Date.parse(`${date}T${time}${zone.replace(/^([+-]\d\d)(\d\d)$/, '$1:$2').toUpperCase()}`) : Number.NaN;
  if (Number.isNaN(at)) throw invalid('time', 'ISO 8601 or seconds since 1970');
  return at;
}

/** `{kind, value}`. @throws input-invalid */
export function readIdentity(value: unknown): ReferenceIdentity {
  const fields = fieldsOf(value, 'name');
  const [kind, text] = [fields.get('kind'), fields.get('value')];
  if (typeof kind !== 'string' || typeof text !== 'string') throw invalid('name', 'kind and value');
  try {
    switch (plain(kind)) {
      case 'dns':
        return { kind: 'dns', name: parseDnsName(asciiHost(text.replace(/\.$/, ''))) };
      case 'ip':
        return { kind: 'ip', address: parseIpAddress(text.replace(/^\[(.*)\]$/, '$1')) };
      case 'email':
      case 'rfc822': {
        const at = text.lastIndexOf('@');
        const mailbox = parseMailbox(`${text.slice(0, at + 1)}${asciiHost(text.slice(at + 1))}`, true);
        if (!mailbox) throw invalid('name', 'a mail address');
        return { kind: 'email', mailbox };
      }
      case 'uri':
        return { kind: 'uri', uri: text };
      default:
    }
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    throw invalid('name', `a well-formed name of kind ${plain(kind)}`);
  }
  throw invalid('name', 'a kind of dns, ip, email or uri');
}

/** The dotted identifier of a purpose by its name in RFC 5280 section 4.2.1.12 or as it is. @throws input-invalid */
export function readPurpose(text: string): string {
  const known = purposes.get(plain(text).replace(/^idkp/, ''));
  if (known === undefined && !DOTTED.test(text))
    throw invalid('extendedKeyUsage', 'names of purposes such as serverAuth, or dotted identifiers');
  return known ?? text;
}

/** @throws input-invalid */
export function readKeyUsage(text: string): KeyUsageBit {
  const bit = plain(text) === 'contentcommitment' ? 'nonRepudiation' : keyUsageBits.find((candidate) => plain(candidate) === plain(text));
  if (!bit) throw invalid('keyUsage', 'names of RFC 5280 section 4.2.1.3 such as digitalSignature');
  return bit;
}

function readPolicyDemands(value: unknown): PolicyDemands {
  const fields = value === undefined ? new Map<string, unknown>() : fieldsOf(value, 'policies');
  const initial = readTexts(fields, 'initial').map((text) => (['any', 'anypolicy'].includes(plain(text)) ? oids.anyPolicy : text));
  if (!initial.every((text) => DOTTED.test(text))) throw invalid('policies.initial', 'dotted identifiers or anyPolicy');
  const flag = (...names: readonly string[]): boolean => {
    const given = names.map((name) => fields.get(name)).find((found) => found !== undefined) ?? false;
    if (typeof given !== 'boolean') throw invalid(`policies.${names[0]}`, 'true or false');
    return given;
  };
  return {
    // anyPolicy by name is asked for; nothing named asks for nothing.
    initial: initial.length === 0 ? 'any' : new Set(initial),
    explicit: flag('explicit', 'explicitpolicy', 'requireexplicit', 'requireexplicitpolicy'),
    inhibitMapping: flag('inhibitmapping', 'inhibitpolicymapping'),
    inhibitAny: flag('inhibitany', 'inhibitanypolicy'),
  };
}

function readConformance(value: unknown): VerifyRequest['conformance'] {
  if (value === undefined) return 'profile';
  if (value !== 'validation' && value !== 'profile') throw invalid('conformance', 'validation or profile');
  return value;
}

function readDepth(value: unknown): number | null {
  if (value === undefined) return null;
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0) throw invalid('maxDepth', 'a whole number from 0');
  return value;
}

function readLeaf(value: unknown): string {
  if (typeof value !== 'string') throw invalid('leaf', 'PEM of one certificate');
  return value;
}

/** A list of texts; one text alone is a list of it. */
function readTexts(fields: ReadonlyMap<string, unknown>, field: string): readonly string[] {
  const value = fields.get(field) ?? [];
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (!list.every((item) => typeof item === 'string')) throw invalid(field, 'a list of texts');
  return list;
}

function fieldsOf(value: unknown, what: string): ReadonlyMap<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(what, 'an object');
  const fields = new Map<string, unknown>();
  for (const [name, content] of Object.entries(value)) {
    if (content === null) continue;
    if (fields.has(plain(name))) throw invalid(what, `the field ${plain(name)} once`);
    fields.set(plain(name), content);
  }
  return fields;
}

function plain(text: string): string {
  return text.toLowerCase().replaceAll(/[_-]/g, '');
}

/** RFC 9525 section 6.3: internationalized names are compared as A-labels. */
function asciiHost(host: string): string {
  return /^[\0-\x7f]*$/.test(host) ? host : domainToASCII(host);
}

function invalid(field: string, expected: string): Problem {
  return new Problem('input-invalid', `Cannot read ${field}, expected ${expected}`);
}

const DOTTED = /^[0-2](?:\.(?:0|[1-9]\d{0,38})){1,40}$/;
const ISO_TIME = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?))?(Z|z|[+-]\d\d:?\d\d)?$/;
const purposes: ReadonlyMap<string, string> = new Map([
  ['serverauth', oids.serverAuth],
  ['clientauth', oids.clientAuth],
  ['codesigning', oids.codeSigning],
  ['emailprotection', oids.emailProtection],
  ['timestamping', oids.timeStamping],
  ['ocspsigning', oids.ocspSigning],
  ['any', oids.anyExtendedKeyUsage],
  ['anyextendedkeyusage', oids.anyExtendedKeyUsage],
]);
