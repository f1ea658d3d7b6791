import type { Command, OptionLine } from './command.ts';

const inEnvironment: OptionLine = ['--environment <name>', "environment that it is in (default: the control plane's own)"];
const out: OptionLine = ['--out <file>', 'write the secret to this file (mode 0600) instead of stdout'];

/** Tokens of people, pipelines and joining proxies. */
export const tokenCommands: readonly Command[] = [
  {
    words: 'token exchange',
    summary: 'Exchange the bootstrap token of the first start, once, for a named admin token.',
    options: [['--bootstrap-file <file>', 'the file that the first start wrote'], ['--name <name>', 'whose token it is'], out],
    client: true,
    example: 'countersign token exchange --bootstrap-file countersign/bootstrap.token --name ada --out ada.token',
    load: () => import('./token-exchange.ts'),
  },
  {
    words: 'token create',
    summary: 'Make a token for a person or a pipeline.',
    options: [
      ['--name <name>', 'whose token it is'],
      ['--role <role>', 'admin, operator, auditor, partner-manager, ci or viewer'],
      ['--environments <names>', 'comma-separated environments, or all (default: all)'],
      out,
    ],
    client: true,
    example: 'countersign token create --name audit-2027 --role auditor --out auditor.token',
    load: () => import('./token-create.ts'),
  },
  {
    words: 'token join',
    summary: 'Make the single-use token with which one declared proxy joins.',
    options: [inEnvironment, ['--proxy <name>', 'name of the declared proxy'], ['--ttl <minutes>', 'life of the token (default: 60)'], out],
    client: true,
    example: 'countersign token join --proxy orders-1 --out orders-1.token',
    load: () => import('./token-join.ts'),
  },
  {
    words: 'token trust',
    summary: 'Take the tokens of an issuer (OIDC), as far as the rules go (admin).',
    options: [
      inEnvironment,
      ['--name <name>', 'what the issuer is called here'],
      ['-f, --file <file>', 'YAML with issuer, audience and rules (docs/how-to/certificates-in-a-pipeline.md)'],
    ],
    client: true,
    example: 'countersign token trust --name github --file github.yaml',
    load: () => import('./token-trust.ts'),
  },
  {
    words: 'token issuers',
    summary: 'List the issuers whose tokens are taken (admin).',
    options: [],
    client: true,
    example: 'countersign token issuers',
    load: () => import('./token-issuers.ts'),
  },
  {
    words: 'token revoke',
    summary: 'End a token; the next request that carries it is refused (admin).',
    arguments: [['<id>', 'as in list tokens']],
    options: [],
    client: true,
    example: 'countersign token revoke token_01jd0c2xk8p3v6m9q4r7s5t1wz',
    load: () => import('./token-revoke.ts'),
  },
  {
    words: 'token distrust',
    summary: 'Take the tokens of an issuer no longer (admin).',
    arguments: [['<id>', 'id of the issuer, as token issuers lists it']],
    options: [],
    client: true,
    example: 'countersign token distrust provider_01h8xgq8ae6p3f2a4b5c6d7e8f',
    load: () => import('./token-distrust.ts'),
  },
  {
    words: 'token acme',
    summary: 'Make the single-use key id and MAC key that bind one ACME account to a role (external account binding).',
    options: [
      inEnvironment,
      ['--name <name>', 'whom the account is for, as the log will call it'],
      ['--role <role>', 'admin, operator, partner-manager or ci; not more than your own'],
      ['--ttl <minutes>', 'life of the token (default: 1440)'],
      out,
    ],
    client: true,
    example: 'countersign token acme --name web-frontends --role ci --out web.eab',
    load: () => import('./token-acme.ts'),
  },
  {
    words: 'token cmp',
    summary: 'Make a reference and a secret by which a device enrols by CMP, for one profile and exactly these names.',
    options: [
      inEnvironment,
      ['--name <name>', 'whom it is for, as the log will call it'],
      ['--profile <name>', 'profile of its certificates (default: server)'],
      ['--dns <names>', 'comma-separated DNS names'],
      ['--ip <addresses>', 'comma-separated addresses'],
      ['--identity <spiffe id>', 'SPIFFE ID, for the profile workload and those made from it'],
      ['--role <role>', 'admin, operator or ci, in which it asks; not more than your own (default: ci)'],
      ['--uses <count>', 'how many certificates it buys (default: 1)'],
      ['--ttl <minutes>', 'life of the secret (default: 1440)'],
      out,
    ],
    client: true,
    example: 'countersign token cmp --name printer-7 --dns printer-7.acme.example --out printer-7.secret',
    load: () => import('./token-cmp.ts'),
  },
];
