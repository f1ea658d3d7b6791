import { authorityCommands } from './authority-commands.ts';
import type { Command } from './command.ts';
import { externalCommands } from './external-commands.ts';
import { federationCommands } from './federation-commands.ts';
import { fleetCommands } from './fleet-commands.ts';
import { policyCommands } from './policy-commands.ts';
import { programCommands } from './program-commands.ts';
import { requestCommands } from './request-commands.ts';
import { tokenCommands } from './token-commands.ts';

/** Every command of `countersign`. Help, dispatch and docs/reference/commands.md come from this table. */
export const commands: readonly Command[] = [
  ...programCommands,
  ...fleetCommands,
  ...authorityCommands,
  ...externalCommands,
  ...federationCommands,
  ...tokenCommands,
  ...policyCommands,
  ...requestCommands,
];

/** What the groups of commands are for. */
export const groups: { readonly [word: string]: string } = {
  audit: 'The audit log: search, export, verify offline.',
  ca: 'Authorities and their keys.',
  cert: 'Certificates.',
  drill: 'Handshakes that must fail.',
  external: 'Certificates of other CAs, asked for by ACME.',
  federation: 'Trust domains of others, and our bundle for theirs.',
  identity: 'Suspension of identities.',
  policy: 'What the policy of issuance says before it is asked, and the policy of TLS for proxies that others run.',
  request: 'Requests for certificates that persons have to approve of.',
  rollout: 'The way from plaintext to enforced mutual TLS.',
  token: 'Tokens of people, pipelines and joining proxies.',
};
