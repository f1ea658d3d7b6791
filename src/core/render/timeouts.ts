/** How long a rendered proxy waits for whom. No policy says it, so it is the same for all of them. */
export const timeouts = {
  /** For a whole head: a caller that sends it octet by octet holds a connection no longer. */
  headSeconds: 10,
  /** Between two pieces of a body, or of an answer that is not taken. */
  stalledSeconds: 30,
  /** For a whole call, where a proxy cannot say it of two pieces: an upload or a long answer takes no longer. */
  wholeSeconds: 300,
  /** Between two calls. */
  idleSeconds: 60,
  /** For the upstream's connection. */
  connectSeconds: 5,
} as const;
