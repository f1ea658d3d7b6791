/** The program's version, as in package.json; data planes state it when they join. */
export const version = '0.1.0';
