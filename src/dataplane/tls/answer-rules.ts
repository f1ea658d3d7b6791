import type { AnswerField } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { HSTS_FIELD } from '../../core/policy/http-policy.ts';
import { Problem } from '../../core/problems/problem.ts';

/** Which fields of answers are the proxy's own. */
export type AnswerRules = {
  /** Put into every answer, as flat name-value pairs in lower case. */
  readonly added: readonly string[];
  /** The same as field lines. */
  readonly lines: Buffer;
  /** What the service sends under these names goes no further. */
  readonly replaced: ReadonlySet<string>;
};

/** On TLS, and in the clear, where a promise of TLS has no place (RFC 6797 section 7.2). Null: answers are as the service made them. */
export type ChannelRules = { readonly secure: AnswerRules | null; readonly clear: AnswerRules | null };

/** @throws input-invalid */
export function parseAnswerRules(fields: readonly AnswerField[]): ChannelRules {
  if (fields.length === 0) return NONE;
  const odd = fields.find(({ name, value }) => !/^[a-z][a-z0-9-]{0,63}$/.test(name) || !/^[\x21-\x7e][\x20-\x7e]{0,999}$/.test(value));
  if (odd !== undefined || fields.length > MAXIMUM_FIELDS) {
    throw new Problem(
      'input-invalid',
      `Cannot use answer field: ${JSON.stringify(odd?.name.slice(0, 100) ?? fields.length)}, expected at most ${MAXIMUM_FIELDS} names and values of HTTP`,
    );
  }
  const promises = fields.some(({ name }) => name === HSTS_FIELD);
  return { secure: makeRules(fields), clear: promises ? { added: [], lines: Buffer.alloc(0), replaced: new Set([HSTS_FIELD]) } : null };
}

function makeRules(fields: readonly AnswerField[]): AnswerRules {
  return {
    added: fields.flatMap(({ name, value }) => [name, value]),
    lines: Buffer.from(fields.map(({ name, value }) => `${name}: ${value}\r\n`).join(''), 'latin1'),
    replaced: new Set(fields.map(({ name }) => name)),
  };
}

const NONE: ChannelRules = { secure: null, clear: null };
/** Above all that a policy can name. */
const MAXIMUM_FIELDS = 16;
