/** What of an HTTP request decides who may make it. Read only where a rule hangs on it. */
export type CallRequest = {
  readonly method: string;
  /** As it arrived. */
  target(): string;
  /** What the Host field or :authority holds; empty where there is none. */
  authority(): string;
  /** Octets of its body as far as its head says; 0 where it does not. */
  bodyLength(): number;
  /** Name and value of each field, one after the other; names in lower case. */
  fields(): readonly string[];
};
