import type { Command } from './command.ts';

/** Trust domains of others. */
export const federationCommands: readonly Command[] = [
  {
    words: 'federation list',
    summary: 'List the trust domains of others: the bundle in force, when it was fetched, and why the last try failed.',
    options: [['--environment <name>', "only this environment (default: all that the token's scope covers)"]],
    client: true,
    example: 'countersign federation list',
    load: () => import('./federation-list.ts'),
  },
  {
    words: 'federation bundle',
    summary: 'Show our trust bundle as a SPIFFE bundle document, for whoever is to trust our trust domain.',
    options: [['--out <file>', 'write it to this file']],
    client: true,
    example: 'countersign federation bundle --out acme.json',
    load: () => import('./federation-bundle.ts'),
  },
];
