import type { Command, OptionLine } from './command.ts';

const inEnvironment: OptionLine = ['--environment <name>', "environment that it is in (default: the control plane's own)"];
const endpoint: OptionLine = ['--endpoint <name>', 'declared endpoint that is to serve it; it is watched there'];

/** Other CAs, and certificates of theirs. */
export const externalCommands: readonly Command[] = [
  {
    words: 'external declare',
    summary: 'Declare a CA of others that is asked by ACME, or change it (admin).',
    options: [
      inEnvironment,
      ['--name <name>', 'what the CA is called here'],
      ['-f, --file <file>', 'YAML with directoryUrl, allowedNames and challenge (docs/how-to/public-certificates.md)'],
      ['--binding-key-file <file>', 'file with the MAC key of the external account binding, as the CA handed it out'],
      ['--webhook-token-file <file>', 'file with the bearer token that the DNS webhook wants'],
      ['--dns-key-file <file>', 'file with the TSIG key that zones are updated by, base64'],
    ],
    client: true,
    example: 'countersign external declare --name public --file public.yaml',
    load: () => import('./external-declare.ts'),
  },
  {
    words: 'external list',
    summary: 'List the CAs of others that may be asked.',
    options: [['--environment <name>', "only this environment (default: all that the token's scope covers)"]],
    client: true,
    example: 'countersign external list',
    load: () => import('./external-list.ts'),
  },
  {
    words: 'external order',
    summary:
      'Have another CA asked for the names of a CSR, and wait for the certificate or, where the profile wants it, for an approval. Its key stays where it is.',
    options: [
      inEnvironment,
      ['--authority <name>', 'the CA, by its name here'],
      ['--csr <file>', 'PKCS#10, PEM or DER'],
      ['--profile <name>', "profile that it is judged by (default: the first of the CA's `judgedBy`)"],
      endpoint,
      ['--renews <serial>', 'certificate that it takes the place of, hex; for a new key'],
      ['--wait <minutes>', 'how long to wait (default: 5; 0: not at all)'],
      ['--out <file>', 'write the chain as PEM to this file'],
    ],
    client: true,
    example: 'countersign external order --authority public --csr www.csr --endpoint www --out www.pem',
    load: () => import('./external-order.ts'),
  },
  {
    words: 'external orders',
    summary: 'List the newest orders at other CAs, with why they wait or failed.',
    options: [['--environment <name>', "only this environment (default: all that the token's scope covers)"]],
    client: true,
    example: 'countersign external orders',
    load: () => import('./external-orders.ts'),
  },
  {
    words: 'external fetch',
    summary: 'Write the newest certificate of an order, renewals included; for whoever serves it, by timer.',
    arguments: [['<order>', 'id of the first order, as external order tells it']],
    options: [['--out <file>', 'write the chain as PEM to this file, in the place of what is there']],
    client: true,
    example: 'countersign external fetch order_01h8xgq8ae6p3f2a4b5c6d7e8f --out www.pem',
    load: () => import('./external-fetch.ts'),
  },
  {
    words: 'cert import',
    summary: 'Take a certificate of another CA into the inventory, to be watched: its end, its status, and whether an endpoint serves it.',
    arguments: [['<file>', 'PEM of the chain, leaf first; no key']],
    options: [inEnvironment, endpoint, ['--trusted <file>', 'PEM of the roots that it must lead to (default: public ones)']],
    client: true,
    example: 'countersign cert import partner.pem --endpoint partner-api',
    load: () => import('./cert-import.ts'),
  },
];
