/** One line of the tap's file. Times are epoch milliseconds. */
export type TapRecord =
  /** A connection's first octets: a TLS record header of a handshake (RFC 8446 section 5.1), or anything else. */
  | {
      readonly kind: 'connection';
      readonly at: number;
      readonly endpoint: string;
      readonly replica: string;
      readonly began: 'tls' | 'plaintext';
    }
  /** The run's marker passed readable. */
  | { readonly kind: 'marker'; readonly at: number; readonly endpoint: string; readonly replica: string; readonly count: number }
  /** The ids of calls that passed readable. */
  | {
      readonly kind: 'readable';
      readonly at: number;
      readonly endpoint: string;
      readonly replica: string;
      readonly callIds: readonly string[];
    };

/** What the tap forwards, from the address that callers know to the one that the service or its sidecar answers on. */
export type TapConfig = {
  readonly file: string;
  readonly marker: string;
  readonly routes: readonly {
    readonly endpoint: string;
    readonly replica: string;
    readonly listenPort: number;
    readonly targetPort: number;
    /** Whether the target is told by a PROXY protocol header for whom the tap connects. */
    readonly tellsSource: boolean;
  }[];
};
