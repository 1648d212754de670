"""Plain FastAPI in front of ONNX Runtime, one text a time in FastAPI's own threads: no framework."""

import os

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from scoring import Model, Scores

app, model = FastAPI(), Model()


class Text(BaseModel):
    """One text."""

    text: str


@app.post("/predict")
def predict(body: Text) -> Scores:
    """Score one text."""
    return model([body.text])[0]


uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning")
