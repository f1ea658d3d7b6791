import { hash } from 'node:crypto';
import { anyLintRules } from './lint-any-certificate.ts';

/** SHA-256 (hex) over the rules that certificates already issued are held against: another value says that a rule came, went or changed. */
export const lintRulesVersion: string = hash(
  'sha256',
  JSON.stringify(anyLintRules.map(({ id, clause, find }) => [id, clause, find.toString()])),
  'hex',
);
