import type { Command } from './command.ts';

const id = ['<id>', 'id of the request, as cert issue and request list print it'] as const;

/** Requests that persons have to approve of. */
export const requestCommands: readonly Command[] = [
  {
    words: 'request list',
    summary: 'List the requests for certificates that wait for approval.',
    options: [
      ['--environment <name>', "only this environment (default: all that the token's scope covers)"],
      ['--all', 'those that ended too'],
      ['--before <id>', 'go on after the page that ended with this request'],
    ],
    client: true,
    example: 'countersign request list',
    load: () => import('./request-list.ts'),
  },
  {
    words: 'request show',
    summary: 'Say what became of a request; exit code 1 unless its certificate is issued.',
    arguments: [id],
    options: [['--out <file>', 'write the chain as PEM to this file, once it is issued']],
    client: true,
    example: 'countersign request show request_01h8xgq8ae6p3f2a4b5c6d7e8f --out api.pem',
    load: () => import('./request-show.ts'),
  },
  {
    words: 'request approve',
    summary: "Approve of another's request; the last approval that its profile wants issues it.",
    arguments: [id],
    options: [],
    client: true,
    example: 'countersign request approve request_01h8xgq8ae6p3f2a4b5c6d7e8f',
    load: () => import('./request-judge.ts').then(({ judgeRequest }) => ({ run: judgeRequest('approval') })),
  },
  {
    words: 'request deny',
    summary: 'Deny a request.',
    arguments: [id],
    options: [['--reason <text>', 'why; stands in the audit log']],
    client: true,
    example: 'countersign request deny request_01h8xgq8ae6p3f2a4b5c6d7e8f --reason "not before the audit"',
    load: () => import('./request-judge.ts').then(({ judgeRequest }) => ({ run: judgeRequest('denial') })),
  },
];
