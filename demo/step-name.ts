/** The steps of a run, in order. */
export type StepName =
  | 'measure-before'
  | 'control-plane'
  | 'discover'
  | 'declare'
  | 'proxies'
  | 'waves'
  | 'restart'
  | 'rotate'
  | 'telemetry'
  | 'suspend'
  | 'drills'
  | 'sockets'
  | 'log';
