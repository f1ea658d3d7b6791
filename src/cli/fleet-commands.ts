import type { Command, OptionLine } from './command.ts';

const reason: OptionLine = ['--reason <text>', 'why; stands in the audit log'];
const environment: OptionLine = ['--environment <name>', "only this environment (default: all that the token's scope covers)"];
const inEnvironment: OptionLine = ['--environment <name>', "environment that it is in (default: the control plane's own)"];
/** Inventory, rollout and proof. */
export const fleetCommands: readonly Command[] = [
  {
    words: 'discover',
    summary: 'Probe addresses by real handshakes and record what answers.',
    arguments: [['<range...>', 'IP:PORT or IP:FIRST-LAST']],
    options: [
      [
        '--allow <cidr>',
        "ranges that may be probed, comma-separated (default: 127.0.0.0/8; the server's network.allow is checked as well)",
      ],
      ['--per-second <number>', 'addresses begun per second (default: 200)'],
      ['--dry-run', 'print only, record nothing (needs no server)'],
    ],
    client: true,
    example: 'countersign discover 127.0.0.1:8000-8100',
    load: () => import('./discover.ts'),
  },
  {
    words: 'check',
    summary:
      'Scan TLS endpoints from here and hold them against a policy: exit code 1 for findings, 4 if there are none but an endpoint was not reached.',
    arguments: [['[target...]', 'HOST, HOST:PORT or an https URL']],
    options: [
      ['-f, --file <file>', 'YAML of targets and of findings to ignore (docs/how-to/check-in-a-pipeline.md), or - for stdin'],
      ['--inventory', "every endpoint of the control plane's inventory, each with its own policy (needs a server)"],
      environment,
      ['--policy <file>', 'YAML of declarations with the policy (default: the default policy)'],
      ['--policy-name <name>', 'which of its policies; without a file, one of the control plane (needs a server)'],
      ['--anchors <file>', 'PEM of the anchors that chains must lead to (default: the public roots that Node carries)'],
      ['--server-name <name>', 'name to call the targets by (default: their hosts)'],
      ['--client-certificate <demand>', 'required or not-required (default: not judged)'],
      ['--certificate <file>', 'PEM of a client certificate to show, for what only its bearers see'],
      ['--key <file>', 'its private key, PEM'],
      [
        '--expires-within <duration>',
        'what is too soon to expire, such as 30d (default: half of what renewal in time leaves, at most 14d)',
      ],
      ['--severity <severity>', 'the least that fails: critical, high, medium or low (default: medium)'],
      ['--format <format>', 'text, json, sarif or junit on stdout (default: text)'],
      ['--output <files>', 'FORMAT=FILE, comma-separated, written besides'],
    ],
    client: true,
    example: 'countersign check api.acme.example --expires-within 21d --output sarif=check.sarif,junit=check.xml',
    load: () => import('./check.ts'),
  },
  {
    words: 'apply',
    summary: 'Declare services, endpoints, proxies, policies, exceptions and targets; shows the difference first.',
    options: [
      ['-f, --file <file>', 'YAML documents (docs/reference/declarations.md)'],
      ['--yes', 'apply without asking'],
      ['--dry-run', 'show the difference only'],
    ],
    client: true,
    example: 'countersign apply -f fleet.yaml',
    load: () => import('./apply.ts'),
  },
  {
    words: 'list',
    summary: 'List what the inventory knows.',
    arguments: [['<kind>', 'services, endpoints, paths, proxies, exceptions, discovered, policies, targets or tokens']],
    options: [environment],
    client: true,
    example: 'countersign list paths',
    load: () => import('./list.ts'),
  },
  {
    words: 'coverage',
    summary: 'Say which part of paths, endpoints and calls is mutual TLS.',
    options: [environment],
    client: true,
    example: 'countersign coverage',
    load: () => import('./coverage.ts'),
  },
  {
    words: 'rollout plan',
    summary: 'Say, per path, who would be refused by enforcement, and why.',
    arguments: [['[target]', 'name of the target (default: all)']],
    options: [environment],
    client: true,
    example: 'countersign rollout plan',
    load: () => import('./rollout-plan.ts'),
  },
  {
    words: 'rollout status',
    summary: 'Show the waves, what holds them and what was rolled back.',
    arguments: [['[target]', 'name of the target (default: all)']],
    options: [environment],
    client: true,
    example: 'countersign rollout status',
    load: () => import('./rollout-status.ts'),
  },
  ...(['start', 'pause', 'retry'] as const).map((verb): Command => ({
    words: `rollout ${verb}`,
    summary: {
      start: 'Start or resume the waves of a target.',
      pause: 'Hold the waves of a target where they are.',
      retry: 'Try rolled-back paths again.',
    }[verb],
    arguments: [['<target>', 'name of the target']],
    options: [inEnvironment, reason],
    client: true,
    example: `countersign rollout ${verb} all`,
    load: () => import('./rollout-verb.ts').then(({ rolloutVerb }) => ({ run: rolloutVerb(verb) })),
  })),
  {
    words: 'rollout weaken',
    summary: 'Weaken a proven path until a date; audited, and undone by itself.',
    arguments: [['<path>', 'id of the path']],
    options: [['--mode <mode>', 'permissive or observe'], ['--until <date>', 'ISO date and time at which it ends'], reason],
    client: true,
    example: 'countersign rollout weaken path_01… --mode permissive --until 2027-01-31T00:00:00Z --reason "vendor upgrade"',
    load: () => import('./rollout-weaken.ts'),
  },
  {
    words: 'drill run',
    summary: 'Fire every drill at enforced endpoints now and wait for the verdicts.',
    options: [inEnvironment, ['--endpoint <name>', 'only this endpoint (default: all that are enforced)']],
    client: true,
    example: 'countersign drill run --endpoint payments-api',
    load: () => import('./drill-run.ts'),
  },
];
