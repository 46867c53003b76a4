// Where the official SDK comes from: for the npm package, what is installed beside it. In a bundle another module is in this one's place
// (package bundle): the package of the project, which is then part of the bundle, or none.
import { createRequire } from 'node:module';

export const load = (): unknown => createRequire(import.meta.url)('@sinch/sdk-core');
