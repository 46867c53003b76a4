export const auth: string[] = [];
export const webhook = () => ({ received: null });
