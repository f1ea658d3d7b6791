import type { Command } from './command.ts';

const trial = ['-f, --file <file>', 'YAML of profiles (kind: Profile) to try over those in force, or - for stdin'] as const;

/** What certificates may be, asked without issuing one. */
export const policyCommands: readonly Command[] = [
  {
    words: 'policy explain',
    summary: 'Say of a request what each rule makes of it, by the evaluator that issues; nothing is issued.',
    options: [
      ['--environment <name>', "environment of the request (default: the control plane's own)"],
      ['--profile <name>', 'profile of the certificate'],
      ['--door <door>', 'rest, join, renewal, acme, cmp or external (default: rest)'],
      ['--authority <name>', 'the other CA that would be asked, with --door external'],
      [
        '--role <role>',
        'who asks: admin, operator, partner-manager, ci, data-plane, holder, acme-account, or control-plane for what renews by itself at another CA (default: who usually does)',
      ],
      ['--asker <name>', 'what the asker is called, for profiles that name their askers'],
      ['--csr <file>', 'PKCS#10, PEM or DER; without it no rule of keys is judged'],
      ['--identity <spiffe id>', "SPIFFE ID (default: the CSR's)"],
      ['--names <names>', "DNS names and addresses, comma-separated (default: the CSR's)"],
      ['--days <number>', 'life to ask for'],
      trial,
    ],
    client: true,
    example: 'countersign policy explain --profile server --names api.acme.example --role ci',
    load: () => import('./policy-explain.ts'),
  },
  {
    words: 'policy replay',
    summary: 'Say what the last certificates would have got under other profiles; nothing is changed.',
    options: [
      ['--environment <name>', "only this environment (default: all that the token's scope covers)"],
      ['--profile <name>', 'only certificates of this profile'],
      ['--last <number>', 'how many certificates to look at, newest first, up to 100000 (default: 1000)'],
      ['--before <cursor>', 'go on after the replay that ended with this cursor'],
      trial,
    ],
    client: true,
    example: 'countersign policy replay --file partner-api.yaml --last 5000',
    load: () => import('./policy-replay.ts'),
  },
];
