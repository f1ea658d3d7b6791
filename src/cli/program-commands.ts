import type { Command, OptionLine } from './command.ts';

const config: OptionLine = ['--config <file>', 'configuration of the control plane (docs/reference/configuration.md)'];
const joining: readonly OptionLine[] = [
  ['--control <address>', "IP:PORT of the control plane's data-plane listener"],
  ['--state <directory>', 'directory for key, certificate and last good settings (mode 0700)'],
  ['--join-token-file <file>', 'file with the join token, or - for stdin; needed only until the first certificate'],
];

/** The programs themselves. */
export const programCommands: readonly Command[] = [
  {
    words: 'up',
    summary: 'Run a control plane and a gateway on this machine as two supervised processes.',
    options: [
      ['--directory <directory>', 'where everything lives; made at first start (default: ./countersign)'],
      ['--trust-domain <name>', 'first start: trust domain of all identities (default: countersign.local)'],
      ['--environment <name>', 'first start: environment of the control plane (default: production)'],
      ['--database <url>', 'first start: postgres://USER@HOST/NAME instead of SQLite in the directory'],
      ['--admin <address>', 'first start: IP:PORT of the REST API (default: 127.0.0.1:8443)'],
      ['--data-plane <address>', 'first start: IP:PORT of enrolment, settings and telemetry (default: 127.0.0.1:8444)'],
      ['--public <address>', 'first start: IP:PORT of revocation lists and the log checkpoint (default: 127.0.0.1:8080)'],
    ],
    client: false,
    example: 'countersign up --directory ./countersign',
    load: () => import('./up.ts'),
  },
  {
    words: 'server',
    summary: 'Run the control plane.',
    options: [config, ['--acme-chaos', 'be difficult to ACME clients as the RFC allows, to test them; as acme.chaos in the configuration']],
    client: false,
    example: 'countersign server --config countersign.yaml',
    load: () => import('./server.ts'),
  },
  {
    words: 'proxy',
    summary: 'Run a gateway, sidecar or bridge; its settings come from the control plane.',
    options: [
      ...joining,
      ['--upstream-trust-file <file>', 'PEM of the anchors that servers must chain to, instead of the delivered bundle'],
      ['--client-certificates <folder>', 'certificates with keys for third parties, NAME.pem for the server of that name, mode 600'],
      ['--workers <number>', 'processes that share its ports, or auto for one a core (default: 1, the proxy itself)'],
      ['--envoy-sds <socket>', 'unix:PATH where the Envoy beside it has its keys from and logs to: the proxy carries no traffic itself'],
      ['--envoy-admin <socket>', 'unix:PATH of that Envoy’s admin (default: admin.sock beside the other)'],
      ['--envoy-bootstrap <file>', 'the file with which that Envoy is started is written here'],
    ],
    client: false,
    example: 'countersign proxy --control 127.0.0.1:8444 --state ./orders-1 --join-token-file orders-1.token',
    load: () => import('./proxy.ts'),
  },
  {
    words: 'scanner',
    summary: 'Run the prober that fires drills at enforced endpoints.',
    options: [...joining, ['--allow <cidr>', 'ranges that drills may connect to, comma-separated (default: 127.0.0.0/8)']],
    client: false,
    example: 'countersign scanner --control 127.0.0.1:8444 --state ./scanner --join-token-file scanner.token',
    load: () => import('./scanner.ts'),
  },
];
