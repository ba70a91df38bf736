Sua conta está pronta. Toque para começar.
