/** What the impostor knows: addresses, who is admitted where, and where a stolen key will lie. */
export type ImpostorConfig = {
  readonly observerUrl: string;
  readonly targets: readonly { readonly endpoint: string; readonly ports: readonly number[] }[];
  /** For each endpoint the identity of an admitted caller, and a self-signed certificate (PEM) that claims it. */
  readonly forged: {
    readonly [endpoint: string]: { readonly spiffeId: string; readonly key: string; readonly certificate: string };
  };
  /** State directory of the sidecar of a service that may call none of the targets; empty until it has joined. */
  readonly stolenStateDirectory: string;
};

/** What the holder of a stolen key needs to call on an open, a resumed and a new connection. */
export type ThiefConfig = {
  readonly observerUrl: string;
  /** The service whose key was stolen. */
  readonly caller: string;
  readonly endpoint: string;
  readonly port: number;
  readonly stateDirectory: string;
  readonly callsPerSecond: number;
};
