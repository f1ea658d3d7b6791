/** Where a service answers: a listening socket that its supervisor hands over, a Unix socket, a TCP port, or nowhere. */
export type ListenConfig =
  | { readonly kind: 'inherited'; readonly fd: number }
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'none' };

/** Calls that a service makes on its own, steadily. */
export type CallConfig = {
  /** The service called. */
  readonly endpoint: string;
  /** Its base URLs, taken in turn. */
  readonly urls: readonly string[];
  readonly perSecond: number;
  /** Whether the body of the call carries a customer's record. */
  readonly sendsRecord: boolean;
};

/** The configuration of one process of Acme Cloud. */
export type ServiceConfig = {
  /** The process, such as `orders-1`. */
  readonly name: string;
  /** The service that it is a replica of, such as `orders`. */
  readonly service: string;
  readonly listen: ListenConfig;
  readonly observerUrl: string;
  /** The customers' record that this service knows, or null. */
  readonly record: string | null;
  /** Whether its answers carry that record. */
  readonly answersWithRecord: boolean;
  readonly calls: readonly CallConfig[];
};
