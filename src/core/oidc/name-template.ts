import { parseDnsName, parseDnsPattern } from '../identity/dns-name.ts';
import { parseSpiffeId } from '../identity/spiffe-id.ts';
import { Problem } from '../problems/problem.ts';
import { type Claims, claimText, readClaim } from './claim.ts';

/** What a template makes, which decides what a claim may put into it. */
export type TemplateKind = 'spiffe-id' | 'dns-name' | 'proxy-name';

/** A name with places in it: text, or what is put there. `last`: of a claim, what follows its last slash. */
export type NameTemplate = readonly (
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'environment' | 'trustDomain' }
  | { readonly kind: 'claim' | 'last'; readonly path: string }
)[];

export type TemplateContext = { readonly claims: Claims; readonly environment: string; readonly trustDomain: string };

/** Reads `spiffe://{trustDomain}/{environment}/{claim:kubernetes.io.serviceaccount.name}`. @throws input-invalid */
export function parseNameTemplate(text: string): NameTemplate {
  if (text === '' || text.length > MAXIMUM_CHARACTERS) throw malformed(text, `1 to ${MAXIMUM_CHARACTERS} characters`);
  return (text.match(/\{[^{}]*\}|[^{}]+|[{}]/g) ?? []).map((part) => {
    if (!/[{}]/.test(part)) return { kind: 'text', text: part };
    const match = /^\{(?:(environment|trustDomain)|(claim|last):([^{}\s]{1,200}))\}$/.exec(part);
    if (match === null) throw malformed(text, '{environment}, {trustDomain}, {claim:PATH} or {last:PATH} in braces');
    return match[1] === undefined
      ? { kind: match[2] as 'claim' | 'last', path: match[3]! }
      : { kind: match[1] as 'environment' | 'trustDomain' };
  });
}

/**
 * The name, or what stands against it. A claim fills one segment of a path or one label of a DNS name: it can bring no slash, no dot and no wildcard
 * with it, and so moves no boundary of the name.
 */
export function expandTemplate(
  kind: TemplateKind,
  template: NameTemplate,
  context: TemplateContext,
): { readonly kind: 'name'; readonly name: string } | { readonly kind: 'unfit'; readonly detail: string } {
  let name = '';
  for (const part of template) {
    if (part.kind === 'text') name += part.text;
    else if (!('path' in part)) name += context[part.kind];
    else {
      const text = claimText(readClaim(context.claims, part.path));
      if (text === null) return { kind: 'unfit', detail: `claim ${part.path} is not there, or is no single value` };
      const value = part.kind === 'last' ? text.slice(text.lastIndexOf('/') + 1) : text;
      if (!PLACES[kind].test(value) || value === '.' || value === '..') {
        return { kind: 'unfit', detail: `claim ${part.path} holds ${JSON.stringify(value.slice(0, 100))}, which is no part of a ${kind}` };
      }
      name += value;
    }
  }
  try {
    return { kind: 'name', name: PARSERS[kind](name) };
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return { kind: 'unfit', detail: error.message };
  }
}

const PLACES: { readonly [K in TemplateKind]: RegExp } = {
  'spiffe-id': /^[a-zA-Z0-9._-]{1,128}$/,
  'dns-name': /^[a-zA-Z0-9-]{1,63}$/,
  'proxy-name': /^[a-z0-9._-]{1,63}$/,
};

const PARSERS: { readonly [K in TemplateKind]: (name: string) => string } = {
  'spiffe-id': parseSpiffeId,
  'dns-name': (name) => (name.startsWith('*.') ? parseDnsPattern(name) : parseDnsName(name)),
  'proxy-name': (name) => {
    if (!/^[a-z0-9][a-z0-9._-]{0,62}$/.test(name)) throw new Problem('identity-malformed', 'Cannot read proxy name: expected [a-z0-9._-]');
    return name;
  },
};

function malformed(text: string, expected: string): Problem {
  return new Problem('input-invalid', `Cannot read template: ${JSON.stringify(text.slice(0, 100))}, expected ${expected}`);
}

const MAXIMUM_CHARACTERS = 500;
