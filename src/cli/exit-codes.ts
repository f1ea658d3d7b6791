/** How a command ends. `docs/cli.md` is held against this table. */
export const exitCodes = {
  ok: { code: 0, meaning: 'Done, or the answer is yes.' },
  no: { code: 1, meaning: 'The answer is no: a verification failed, a gate holds, a drill was not refused, an endpoint breaks a rule.' },
  usage: { code: 2, meaning: 'The command line or a file is not as documented.' },
  refused: { code: 3, meaning: 'The server refused; the code of the problem is printed.' },
  unreachable: {
    code: 4,
    meaning: 'The server, or an endpoint to be checked, could not be reached, or the server is not the one that was pinned.',
  },
  partial: { code: 5, meaning: 'Not all that is demanded can be enforced there, and nothing was written (`policy render --strict`).' },
  internal: { code: 70, meaning: 'Countersign itself failed.' },
} as const;

export type ExitName = keyof typeof exitCodes;
